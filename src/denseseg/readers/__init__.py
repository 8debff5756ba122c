"""Readers: public data sets and single images. One file per data set; none of them knows a method."""

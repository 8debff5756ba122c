"""Readers: public data sets and single images. One file per data set; none of them knows a method."""

from denseseg.readers.cephalograms import read_cephalograms
from denseseg.readers.graz import read_graz
from denseseg.readers.hand_atlas import read_hand_atlas
from denseseg.readers.image import Radiograph, read_image
from denseseg.readers.jsrt import read_jsrt

__all__ = ["Radiograph", "read_cephalograms", "read_graz", "read_hand_atlas", "read_image", "read_jsrt"]

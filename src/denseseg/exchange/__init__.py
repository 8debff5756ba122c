"""Exchange with the tools in which people annotate: LabelMe, COCO keypoints, CVAT and 3D Slicer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "annotation": ["Annotation"],
        "cases": ["annotated_cases", "annotation_of", "corrected_cases", "masks_of", "placed", "refused"],
        "data_set": ["exported", "imported", "joined", "picture", "write_picture"],
        "files": ["TOOLS", "new_folder", "read_annotations", "write_annotations"],
    },
)

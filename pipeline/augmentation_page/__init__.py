"""The page by which a person judges augmentations: pictures, sound and numbers of views at several strengths."""

from echopair.pipeline.augmentation_page.views import PreviewClip
from echopair.pipeline.augmentation_page.write import write_augmentation_page

__all__ = ["PreviewClip", "write_augmentation_page"]

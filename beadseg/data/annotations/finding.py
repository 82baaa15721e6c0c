"""Which file of labels speaks of which image, by their names and by what is in them."""

import itertools
import re
from collections.abc import Callable, Collection
from pathlib import Path

from beadseg.data.annotations.coco import CocoFile, read_coco_file
from beadseg.quoting import plain_name, printable

FOLDERS = ("masks", "labels", "annotations")  # the first that is there
BESIDE = (".json", ".geojson", ".txt", ".roi", ".zip")  # of labels beside their images
_ADDED = r"(_cp_masks|_rois|_RoiSet|_seg)$"  # what programs put behind the name
# What people put there, or before it.
_KINDS = "mask|label|instance|annotation|segmentation|gt|outline|point|ignore|seg"
# Of ilastik.
_EXPORTS = r"Object[-_ ]Identities|Simple[-_ ]Segmentation|Segmentation[-_ ]?Labels?"
_BEHIND = rf"([-_. ]cp)?[-_. ](({_KINDS})s?|{_EXPORTS})$"
_BEFORE = rf"^((count )?masks? of |({_KINDS})s?([-_. ]|(?=\d)))"  # of ImageJ; of people
_OF_IMAGES = ("image", "img", "raw", "im", "photo")  # words of images alone
_BETWEEN = ("_", "-", ".", " ", "")
_PICTURES = r"(_(flows|outlines|dP)_cp_masks|_cp_output|_cp_outlines)$"
# Beside labels of YOLO.
NAMES_OF_CLASSES = ("classes.txt", "labels.txt", "obj.names")
NAMES_OF_CLASSES += ("data.yaml", "data.yml", "dataset.yaml")
OF_CLASSES = (*NAMES_OF_CLASSES, "notes.json")
_NAMED = 3  # images in a line


def image_of(stem: str, images: Collection[str]) -> str:
    """The image that a file of labels is named after; its stem where there is none.

    NAME_cp_masks.png of Cellpose, NAME_rois.zip, NAME.tif.geojson, NAME-labels.tif and
    mask_NAME.png are for NAME, and for NAME_img or img_NAME where that is there.
    """
    if stem in images:
        return stem
    behind = re.sub(_BEHIND, "", stem, flags=re.IGNORECASE)
    before = re.sub(_BEFORE, "", stem, flags=re.IGNORECASE)
    names = dict.fromkeys((re.sub(_ADDED, "", stem), stem, behind, before))
    for name in (*names, *(Path(name).stem for name in names if name)):
        if name in images:
            return name
    # Of NAME_masks and NAME_img what is left is the same.
    for name in (name for name in (behind, before) if name != stem):
        for word in _OF_IMAGES:
            for part, of in itertools.product(_BETWEEN, (word, word.capitalize())):
                for image in (f"{name}{part}{of}", f"{of}{part}{name}"):
                    if image in images:
                        return image
    plain = set(map(plain_name, names))
    alike = [image for image in images if plain_name(image) in plain]
    return alike[0] if len(alike) == 1 else stem


def is_by_product(stem: str, images: Collection[str]) -> bool:
    """Whether a file is a picture that Cellpose writes along with its masks."""
    found = re.sub(_PICTURES, "", stem)
    return found != stem and found in images


def is_beside(path: Path, stem: str, images: Collection[str]) -> bool:
    """Whether a file among images is labels of one of them."""
    found = re.sub(_ADDED, "", stem)
    if found != stem and found in images:
        return True
    return path.suffix.lower() in BESIDE and image_of(stem, images) in images


def move_labels(
    inside: dict[str, list[Path]], stem_of: Callable[[str], str], stems: Collection[str]
) -> None:
    """Takes labels of images that lie beside them out of "images" into "masks"."""
    for path in inside["images"][:]:
        stem = stem_of(path.name)
        if is_by_product(stem, stems):
            inside["images"].remove(path)
        elif is_beside(path, stem, stems):
            inside["images"].remove(path)
            inside["masks"].append(path)


def refused(path: Path) -> str:
    """Why a kind of labels is not read, and what to do; empty where it may be."""
    if path.name.lower().endswith("_seg.npy"):
        return (
            f"{printable(path)}: a file of Cellpose that can run any program when it "
            "is opened: save the masks as NAME_cp_masks.tif (File, Save masks as "
            "PNG/TIF, or cellpose --save_tif)"
        )
    return ""


def coco_files(
    files: Collection[Path], images: Collection[str], problems: list[str]
) -> dict[Path, CocoFile]:
    """Those of the files that hold the labels of many images: COCO."""
    found = {}
    for path in files:
        known = path.name.startswith(".") or image_of(path.stem, images) in images
        if known or path.suffix.lower() != ".json":
            continue
        try:
            coco = read_coco_file(path)
        except (OSError, ValueError) as error:
            problems.append(printable(f"{path}: {' '.join(str(error).split())}"))
            coco = CocoFile({}, {}, (), {})
        if coco is not None:
            found[path] = coco
    return found


def open_coco_files(
    found: dict[Path, CocoFile],
    labels: dict[str, Path],
    images: Collection[str],
    problems: list[str],
) -> None:
    """Gives images without labels those of a COCO file, and says what is odd.

    Args:
      labels: by the stem of the image; is added to.
      images: the stems of all.
      problems: gets the lines.
    """
    for path, coco in found.items():
        where = printable(path)
        lacking = [name for name in coco.images if name not in images]
        for name in coco.images.keys() - set(lacking):
            if name in labels and labels[name] in found:
                problems.append(
                    f"{where}: {name} is also in {labels[name].name}, which is used "
                    "instead"
                )
            labels.setdefault(name, path)
        if lacking:
            problems.append(
                f"{where}: {_some(lacking, coco.images)} no image of this name in "
                "images/"
            )
        if coco.twice:
            problems.append(
                f"{where}: {_some(coco.twice, coco.images)} several images of one "
                "name: the first is used, give each a name of its own"
            )
        known = {image["id"] for image in coco.images.values()}
        lost = sum(len(a) for i, a in coco.annotations.items() if i not in known)
        if lost and not coco.twice:
            problems.append(f"{where}: {lost} annotations of images that it lacks")


def _some(names: Collection[str], of: Collection[str]) -> str:
    named = ", ".join(list(names)[:_NAMED])
    verb = "has" if len(names) == 1 else "have"
    if len(names) > _NAMED:
        named += ", ..."
    return printable(f"{len(names)} of {len(of)} ({named}) {verb}")

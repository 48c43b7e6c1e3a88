"""All cases, by whether the folder is accepted when it is chosen."""

from tests.base_folders.configurations import MATHEMATICS, TENSORS
from tests.base_folders.families import FAMILIES, HEADS, NUMBER_FORMATS, OTHER_FAMILIES
from tests.base_folders.storage import FOLDERS, STORAGE
from tests.base_folders.vocabularies import TOKENIZERS

AT_CHOOSING = [
    *FAMILIES,
    *OTHER_FAMILIES,
    *HEADS,
    *NUMBER_FORMATS,
    *STORAGE,
    *MATHEMATICS,
    *TENSORS,
    *TOKENIZERS,
    *FOLDERS,
]
ACCEPTED = [case for case in AT_CHOOSING if not case.refused]
REFUSED = [case for case in AT_CHOOSING if case.refused]

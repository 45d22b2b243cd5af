import pickle

import pytest

from utils import errors
from utils.errors import LookalikeError, PictureError, printable


def test_one_except_clause_catches_the_whole_family():
    family = [errors.PictureError, errors.WeightsError, errors.IndexFileError]
    assert all(issubclass(member, LookalikeError) for member in family)


def test_a_refused_picture_is_a_value_error_too():
    with pytest.raises(ValueError, match=r"cat\.jpg: is empty"):
        raise PictureError("cat.jpg", "is empty")


def test_a_picture_error_survives_pickling_between_processes():
    error = pickle.loads(pickle.dumps(PictureError("cat.jpg", "is empty")))
    assert (error.source, error.reason) == ("cat.jpg", "is empty")
    assert str(error) == "cat.jpg: is empty"


def test_a_name_that_can_not_be_printed_is_escaped_in_the_message_only():
    name = "two\nlines\udcff🐈.jpg"
    error = PictureError(name, "is empty")
    assert error.source == name
    assert str(error) == r"two\nlines\udcff🐈.jpg: is empty"
    str(error).encode("utf-8")  # what print does


def test_printable_leaves_ordinary_names_alone():
    assert printable("Käse & Brot’s «日本».jpg") == "Käse & Brot’s «日本».jpg"

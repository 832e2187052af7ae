"""Wu-Palmer similarity of nouns follows from WordNet's files, wherever they lie."""

import zipfile

import pytest

from captioning.errors import UserError
from captioning.metrics.wordnet import WordNet, find_wordnet

# Each sense: its words, and what it is a kind of.
SENSES = {
    "entity": (["entity"], []),
    "thing": (["thing", "object"], ["entity"]),
    "animal": (["animal"], ["entity"]),
    "furniture": (["furniture"], ["thing"]),
    "table": (["table"], ["furniture"]),
    "chair": (["chair"], ["furniture"]),
    "dog": (["dog"], ["animal"]),
    "toy": (["toy_dog", "dog"], ["thing", "dog"]),  # two parents, at different depths
    "fido": (["Fido"], ["dog"]),
}


@pytest.fixture
def folder(tmp_path):
    """A WordNet of nine senses in the official layout."""
    return write(tmp_path / "wordnet")


def write(folder):
    folder.mkdir(parents=True)
    licence = "  1 This is the licence, which is indented.\n"

    def lines(offsets):
        for name, (words, parents) in SENSES.items():
            said = " ".join(f"{word} 0" for word in words)
            kind = "@i" if name == "fido" else "@"
            pointers = " ".join(f"{kind} {offsets[parent]:08d} n 0000" for parent in parents)
            about = f"{len(words):02x} {said} {len(parents):03d} {pointers} | what it is @ 00000001 n "
            yield name, f"{offsets[name]:08d} 03 n {about}\n"

    offsets, at = {}, len(licence)
    for name, line in lines(dict.fromkeys(SENSES, 0)):
        offsets[name] = at
        at += len(line)
    (folder / "data.noun").write_text(licence + "".join(line for _, line in lines(offsets)))
    index = {}
    for name, (words, _) in SENSES.items():
        for word in words:
            index.setdefault(word.lower(), []).append(offsets[name])
    rows = [
        f"{word} n {len(of)} 1 @ {len(of)} 0 {' '.join(f'{o:08d}' for o in of)}  \n"
        for word, of in sorted(index.items())
    ]
    (folder / "index.noun").write_text(licence + "".join(rows))
    (folder / "noun.exc").write_text("pooches dog\nthings entity\n")
    return folder


@pytest.mark.parametrize(
    "one, other, similarity",
    [
        ("table", "table", 1.0),
        ("table", "chair", 2 * 3 / (4 + 4)),  # through furniture, which is the third from the root
        ("table", "object", 2 * 2 / (4 + 2)),
        ("table", "animal", 2 * 1 / (4 + 2)),
        ("fido", "animal", 2 * 2 / (4 + 2)),  # an instance of a dog
        ("tables", "chairs", 0.75),
        ("pooches", "animal", 0.8),
        ("toy dog", "dog", 1.0),  # the nearest senses
        ("table", "unheard", 0.0),
    ],
)
def test_similarity_is_twice_the_common_depth_over_both_depths(folder, one, other, similarity):
    nouns = WordNet(folder)
    assert nouns.similarity(one, other) == pytest.approx(similarity)
    assert nouns.similarity(other, one) == pytest.approx(similarity)


def test_a_folder_and_the_zip_of_nltk_say_the_same(folder, tmp_path):
    packed = tmp_path / "wordnet.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"wordnet/{file.name}")
    assert WordNet(packed).similarity("table", "chair") == WordNet(folder).similarity("table", "chair")


def test_wordnet_is_found_where_its_variables_point(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    assert find_wordnet() == folder
    monkeypatch.delenv("WNSEARCHDIR")
    write(tmp_path / "nltk" / "corpora" / "wordnet")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    assert find_wordnet() == tmp_path / "nltk" / "corpora" / "wordnet"


def test_files_that_are_absent_or_none_of_wordnet_are_named(tmp_path):
    with pytest.raises(UserError, match=r"index\.noun.*wordnet-base"):
        WordNet(tmp_path)
    (tmp_path / "wordnet.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match="wordnet.zip"):
        WordNet(tmp_path / "wordnet.zip")


@pytest.mark.parametrize(
    "one, other, similarity", [("table", "chair", 16 / 19), ("book", "shelf", 10 / 17), ("garbage_bin", "box", 0.0)]
)
def test_real_wordnet_says_what_nltk_says(one, other, similarity):
    try:
        nouns = WordNet()
    except UserError:
        pytest.skip("WordNet is not on this machine")
    assert nouns.similarity(one, other) == pytest.approx(similarity)

"""What holds for every entry of the knowledge base, whoever writes it."""

import re
from pathlib import Path

import pytest

from diagnostics.knowledge.load import FOLDER, knowledge, read_file
from diagnostics.knowledge.matcher import context_probe, matches
from diagnostics.knowledge.schema import Signature

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "failures"
FILES = sorted(FOLDER.glob("*.yaml"))
SIGNATURES = knowledge().signatures
PROCEDURAL = {"rank", "seq", "op", "numel", "timeout", "seconds", "completed", "code", "pid", "silent"}
"""Numbers that watchdog timeouts and exit codes give to remedies."""


def by_id(signature: Signature) -> str:
    return signature.id


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_valid_and_its_group_is_not_empty(path: Path):
    file = read_file(path)
    assert file.causes or file.signatures


@pytest.mark.parametrize("signature", SIGNATURES, ids=by_id)
def test_examples_match_and_counterexamples_do_not(signature: Signature):
    assert signature.examples and signature.counterexamples
    assert [text for text in signature.examples if not matches(signature, text)] == []
    assert [text for text in signature.counterexamples if matches(signature, text)] == []


@pytest.mark.parametrize("signature", SIGNATURES, ids=by_id)
def test_a_signature_names_known_causes(signature: Signature):
    known = knowledge().causes
    named = {signature.cause, *(nearby.cause for nearby in signature.nearby)} - {""}
    assert named <= set(known), f"no such cause: {named - set(known)}"
    assert bool(named) if signature.role in ("root", "symptom") else not signature.cause
    assert 0 <= signature.rank <= 100


@pytest.mark.parametrize("signature", SIGNATURES, ids=by_id)
def test_what_must_be_nearby_can_be_looked_for(signature: Signature):
    assert all(len(literal) >= 3 for literal in (signature.literal, *signature.also))
    for nearby in signature.nearby:
        re.compile(nearby.pattern)
        assert nearby.cause or nearby.role, "decides nothing"
        if nearby.where in ("process", "log"):
            context_probe(nearby)


def test_ids_and_slugs_are_unique():
    ids = [signature.id for file in map(read_file, FILES) for signature in file.signatures]
    slugs = [slug for file in map(read_file, FILES) for slug in file.causes]
    assert sorted(ids) == sorted(set(ids))
    assert sorted(slugs) == sorted(set(slugs))


@pytest.mark.parametrize("slug", sorted(knowledge().causes))
def test_remedies_name_numbers_that_a_signature_finds(slug: str):
    known = knowledge()
    telling = [s for s in known.signatures if slug in {s.cause, *(nearby.cause for nearby in s.nearby)}]
    names = PROCEDURAL.union(*(re.compile(s.pattern).groupindex for s in telling))
    ids = {s.id for s in telling}
    for remedy in known.causes[slug].remedies:
        for text in (remedy.text.en, remedy.text.zh, remedy.command):
            assert set(re.findall(r"\{(\w+)\}", text)) <= names, text
        assert set(remedy.when.split()) <= ids, remedy.when
        assert set(re.findall(r"\{(\w+)\}", remedy.text.en)) == set(re.findall(r"\{(\w+)\}", remedy.text.zh))


def test_the_taxonomy_is_covered():
    if not SHARED.is_dir():
        pytest.skip("the shared data is not here")
    rows = re.findall(r"^\| (\w+) \| `([\w-]+)`", (SHARED / "TAXONOMY.md").read_text(), re.M)
    taxonomy = {slug: group for group, slug in rows if slug != "none"}
    groups = knowledge().groups
    assert {slug: groups.get(slug) for slug in taxonomy} == taxonomy

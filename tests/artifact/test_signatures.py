"""`sign` and `verify`: who made an artifact, and that nothing in its folder was touched since."""

import hashlib
import json
import shutil
import sys

import pytest
from conftest import edit_manifest

signing = pytest.importorskip("model_signing.signing", reason="pip install 'nf-edge[sign]'")

from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402
from model_signing import hashing, verifying  # noqa: E402

from nf_edge.artifact import load_artifact  # noqa: E402
from nf_edge.artifact.signature import sign  # noqa: E402
from nf_edge.core.errors import BadInput  # noqa: E402

NAME, RECIPE = "cls-lowrank-last-padded", "onnx-fp32"


def write_pair(folder, name, key, password=None):
    """The files of a private key and of its public one."""
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Pairs by their owners' names: of two curves, and one that cannot sign here."""
    folder = tmp_path_factory.mktemp("keys")
    return {
        "ours": write_pair(folder, "ours", ec.generate_private_key(ec.SECP256R1())),
        "theirs": write_pair(folder, "theirs", ec.generate_private_key(ec.SECP384R1())),
        "rsa": write_pair(folder, "rsa", rsa.generate_private_key(65537, 2048)),
        "hidden": write_pair(folder, "hidden", ec.generate_private_key(ec.SECP256R1()), b"secret"),
    }


@pytest.fixture
def unsigned(exported, tmp_path):
    return shutil.copytree(exported(NAME, RECIPE).path, tmp_path / "artifact")


@pytest.fixture
def signed(unsigned, keys, run):
    done = run("sign", unsigned, "--key", keys["ours"][0])
    assert done.code == 0, done.err
    return unsigned


def better_figures(folder):
    edit_manifest(folder, lambda document: document["reports"]["parity"].update(error=0.0))


def test_a_signed_artifact_is_verified_by_its_signers_key(signed, keys, run, monkeypatch):
    public = keys["ours"][1]
    done = run("verify", signed, "--key", public, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["files"] == ["RUN.md", "model.onnx", "report.html"]
    assert f"verified with {public}" in run("inspect", signed, "--public-key", public).out
    monkeypatch.setenv("NF_EDGE_PUBLIC_KEY", str(public))
    done = run("profile", signed, "--require-signature", "--json")
    assert (done.code, done.err.count("warning")) == (0, 0)
    assert (
        json.loads(run("inspect", signed, "--json").out)["result"]["signature"] == f"verified with {public}"
    )


def test_the_signature_is_that_of_openssf_and_verifies_without_nf_edge_and_back(signed, keys, run):
    private, public = keys["ours"]
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(signed, signed / "model.sig")
    (signed / "model.sig").unlink()
    signing.Config().use_elliptic_key_signer(private_key=private).sign(signed, signed / "model.sig")
    assert run("verify", signed, "--key", public).code == 0


# What is done to a signed folder, and what the refusal names.
AFTERWARDS = {
    "a figure is edited": (better_figures, "manifest.json"),
    "the model is swapped": (lambda folder: (folder / "model.onnx").write_bytes(b"x"), "model.onnx"),
    "a text is added": (lambda folder: (folder / "README.md").write_text("Better than ever"), "README.md"),
    "a file is deleted": (lambda folder: (folder / "report.html").unlink(), "report.html"),
    "the signature is cut": (lambda folder: cut(folder / "model.sig"), "model.sig: is damaged"),
    "the signature is empty": (
        lambda folder: (folder / "model.sig").write_bytes(b""),
        "model.sig: is damaged",
    ),
    "the signature is JSON": (
        lambda folder: (folder / "model.sig").write_text("[{}]"),
        "model.sig: is damaged",
    ),
    "it is too deep": (
        lambda folder: (folder / "model.sig").write_text("[" * 100_000),
        "model.sig: is damaged",
    ),
    "it is no text": (
        lambda folder: (folder / "model.sig").write_bytes(b"\xff\xfe"),
        "model.sig: is damaged",
    ),
    "what was signed is edited": (lambda folder: forge_payload(folder / "model.sig"), "or was changed"),
    "nothing signed it": (lambda folder: no_signatures(folder / "model.sig"), "model.sig: is damaged"),
    "the signature is a link": (lambda folder: link(folder / "model.sig"), "model.sig: is a link"),
    "the signature is deleted": (lambda folder: (folder / "model.sig").unlink(), "is not signed"),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def forge_payload(path):
    document = json.loads(path.read_text())
    payload = document["dsseEnvelope"]["payload"]
    document["dsseEnvelope"]["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
    path.write_text(json.dumps(document))


def no_signatures(path):
    document = json.loads(path.read_text())
    document["dsseEnvelope"]["signatures"] = []
    path.write_text(json.dumps(document))


def link(path):
    path.symlink_to(path.rename(path.parent.parent / "model.sig"))


@pytest.mark.parametrize("attack", AFTERWARDS)
def test_what_is_touched_after_it_was_signed_is_refused(attack, signed, keys, run):
    change, says = AFTERWARDS[attack]
    change(signed)
    done = run("verify", signed, "--key", keys["ours"][1], "--json")
    assert done.code == 3
    assert says in done.err
    assert "result" not in json.loads(done.out)


@pytest.mark.parametrize(
    "arguments",
    [("check", "--data", "x.tsv"), ("profile",), ("bench",), ("generate", "a"), ("inspect",)],
    ids=lambda arguments: arguments[0],
)
def test_every_verb_verifies_a_signature_and_can_ask_for_one(arguments, signed, keys, run):
    verb, *rest = arguments
    public = keys["ours"][1]
    theirs = run(verb, signed, *rest, "--public-key", keys["theirs"][1])
    assert (theirs.code, theirs.out) == (3, "")
    assert "was made with another key" in theirs.err
    nameless = run(verb, signed, *rest, "--require-signature")
    assert (nameless.code, nameless.out) == (3, "")
    assert "--public-key or NF_EDGE_PUBLIC_KEY" in nameless.err
    better_figures(signed)
    changed = run(verb, signed, *rest, "--public-key", public)
    assert (changed.code, changed.out) == (3, "")
    assert "manifest.json" in changed.err
    (signed / "model.sig").unlink()
    without = run(verb, signed, *rest, "--public-key", public, "--require-signature")
    assert (without.code, without.out) == (3, "")
    assert "is not signed" in without.err


def test_without_a_key_a_signature_is_told_and_never_called_verified(signed, keys, run):
    done = run("inspect", signed)
    assert done.code == 0
    assert (
        "is signed, but the signature is not verified; give the signer's public key with --public-key"
        in done.err
    )
    assert "signature" in done.out
    assert "not verified" in done.out
    (signed / "model.sig").unlink()
    done = run("inspect", signed, "--public-key", keys["ours"][1])
    assert done.code == 0
    assert "is not signed" in done.err


def test_a_checkpoint_is_not_taken_where_a_signature_is_required(case, run):
    assert run("generate", case("lm-none"), "1 2", "--ids", "--require-signature").code == 3
    assert run("profile", case(NAME), "--recipe", RECIPE, "--require-signature").code == 2


@pytest.mark.parametrize("name", ["manifest.json", "README.md"])
def test_a_signature_that_leaves_a_file_out_is_none(name, unsigned, keys, run):
    private, public = keys["ours"]
    (unsigned / "README.md").write_text("About this model")
    left_out = hashing.Config().set_ignored_paths(paths=["model.sig", name])
    config = signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(left_out)
    config.sign(unsigned, unsigned / "model.sig")
    done = run("verify", unsigned, "--key", public)
    assert done.code == 3
    assert f"Extra files found in model 'artifact': {name}" in done.err


def test_a_folder_whose_hashes_were_all_written_anew_is_told_by_its_signature_alone(signed, keys, run):
    content = (signed / "report.html").read_bytes() + b"<p>It fits.</p>"
    (signed / "report.html").write_bytes(content)

    def listed(document):
        (file,) = (file for file in document["files"] if file["name"] == "report.html")
        file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    edit_manifest(signed, listed)
    assert run("inspect", signed).code == 0
    done = run("inspect", signed, "--public-key", keys["ours"][1])
    assert done.code == 3
    assert "manifest.json" in done.err
    assert "report.html" in done.err


def test_what_is_not_as_it_was_exported_is_not_signed(unsigned, keys, run):
    (unsigned / "model.onnx").write_bytes(b"x")
    done = run("sign", unsigned, "--key", keys["ours"][0])
    assert done.code == 3
    assert "model.onnx" in done.err
    assert not (unsigned / "model.sig").exists()


def test_a_failed_artifact_is_signed_as_failed(unsigned, keys, run):
    edit_manifest(unsigned, lambda document: document.update(status="fail"))
    done = run("sign", unsigned, "--key", keys["ours"][0], "--json")
    assert done.code == 0
    assert "failed a check at its export" in done.err
    assert json.loads(done.out)["result"]["status"] == "fail"
    edit_manifest(unsigned, lambda document: document.update(status="pass"))
    assert run("verify", unsigned, "--key", keys["ours"][1]).code == 3


def test_an_earlier_artifact_cannot_be_signed(unsigned, keys, run):
    def earlier(document):
        document["schema"] = "nf-edge/artifact/1"
        del document["files"]

    edit_manifest(unsigned, earlier)
    done = run("sign", unsigned, "--key", keys["ours"][0])
    assert done.code == 3
    assert "export the artifact again" in done.err


def test_an_export_that_replaces_a_signed_artifact_leaves_no_signature(signed, case, keys, run):
    done = run("export", case(NAME), "--recipe", RECIPE, "-o", signed, "--overwrite")
    assert done.code == 0, done.err
    assert not (signed / "model.sig").exists()


@pytest.mark.parametrize(
    ("verb", "key", "says"),
    [
        ("sign", ("ours", 1), "is not a private key"),
        ("sign", ("rsa", 0), "is not a private key"),
        ("sign", ("hidden", 0), "set the environment variable NF_EDGE_KEY_PASSWORD"),
        ("sign", None, "No such file"),
        ("verify", ("ours", 0), "is not a public key"),
        ("verify", ("rsa", 1), "is not a public key"),
        ("verify", None, "No such file"),
    ],
)
def test_what_is_no_key_is_named(verb, key, says, signed, keys, run):
    before = (signed / "model.sig").read_bytes()
    done = run(verb, signed, "--key", keys[key[0]][key[1]] if key else signed.parent / "none.pem")
    assert done.code == 3
    assert says in done.err
    assert (signed / "model.sig").read_bytes() == before


def test_an_encrypted_key_signs_with_its_password(unsigned, keys, run, monkeypatch):
    private, public = keys["hidden"]
    monkeypatch.setenv("NF_EDGE_KEY_PASSWORD", "another")
    assert run("sign", unsigned, "--key", private).code == 3
    monkeypatch.setenv("NF_EDGE_KEY_PASSWORD", "secret")
    assert run("sign", unsigned, "--key", private).code == 0
    assert run("verify", unsigned, "--key", public).code == 0


def test_where_model_signing_is_missing_the_command_that_gets_it_is_told(signed, keys, run, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    private, public = keys["ours"]
    for arguments in (
        ("sign", signed, "--key", private),
        ("verify", signed, "--key", public),
        ("inspect", signed, "--public-key", public),
    ):
        done = run(*arguments)
        assert done.code == 6
        assert "pip install 'nf-edge[sign]'" in done.err
    assert run("inspect", signed).code == 0


def test_what_changes_between_being_read_and_being_signed_is_not_signed(unsigned, keys):
    artifact = load_artifact(unsigned)
    better_figures(unsigned)
    with pytest.raises(BadInput, match=r"changed while nf-edge read it: manifest\.json"):
        sign(artifact, keys["ours"][0])
    assert not (unsigned / "model.sig").exists()


def test_a_link_that_no_manifest_lists_keeps_an_artifact_from_being_signed(unsigned, keys, run):
    (unsigned / "README.md").symlink_to("/etc/hostname")
    done = run("sign", unsigned, "--key", keys["ours"][0])
    assert done.code == 3
    assert "README.md" in done.err

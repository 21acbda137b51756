import pytest

from castline.weights.whole import whole_file


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "made" / "model.onnx"
    with whole_file(target) as file:
        file.write_bytes(b"half")
        assert not target.exists()
        file.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), whole_file(target) as file:
        file.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]

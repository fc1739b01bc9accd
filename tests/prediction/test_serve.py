"""Predictions over HTTP, with fastapi's client."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import madx

testclient = pytest.importorskip("fastapi.testclient")


@pytest.fixture
def client(tagger: madx.Predictor) -> Iterator["testclient.TestClient"]:
    from madx.prediction.serve import application

    with testclient.TestClient(application(tagger), raise_server_exceptions=False) as client:
        yield client


def test_what_it_answers_is_what_the_predictor_says(client: "testclient.TestClient", tagger: madx.Predictor) -> None:
    items = ["Anna ser", {"id": 3, "tokens": ["Lund"], "language": "swe"}, ""]
    answer = client.post("/predict", json={"items": items, "language": "swe"})
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    assert rows[1]["id"] == 3
    assert rows[2]["prediction"] is None
    assert [row["prediction"]["tokens"] for row in rows[:2]] == [["Anna", "ser"], ["Lund"]]
    wanted = tagger.predict(items, "swe")
    assert [r["prediction"] for r in rows] == [w["prediction"] for w in wanted]
    assert client.get("/health").json()["status"] == "ok"


def test_requests_at_once_are_computed_together(client: "testclient.TestClient", tagger: madx.Predictor) -> None:
    sizes: list[int] = []
    label = tagger.label

    def counted(records, language):  # type: ignore[no-untyped-def]
        sizes.append(len(records))
        return label(records, language)

    tagger.label = counted  # type: ignore[method-assign]
    with ThreadPoolExecutor(12) as many:
        answers = list(many.map(lambda i: client.post("/predict", json={"items": [f"Anna {i}"]}).json(), range(24)))
    assert [answer[0]["prediction"]["tokens"] for answer in answers] == [["Anna", str(i)] for i in range(24)]
    assert sum(sizes) == 24
    assert len(sizes) < 24


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "Invalid JSON"),
        (b'{"items": []}', 422, "at least 1 item"),
        (b'{"items": [3]}', 422, "items"),
        (b'{"items": ["x"], "origin": "/etc"}', 422, "Extra inputs"),
        (b'{"items": [' + b'"x",' * 300 + b'"x"]}', 422, "at most 256 items"),
        (b'{"items": ["' + b"x" * (1 << 20) + b'"]}', 413, "more than 1048576 bytes"),
        (b'{"items": [{"txt": "x"}]}', 422, "item 1: neither 'text' nor 'tokens'"),
    ],
)
def test_a_wrong_request_is_refused(client: "testclient.TestClient", body: bytes, status: int, said: str) -> None:
    answer = client.post("/predict", content=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert client.post("/predict", json={"items": ["Anna"]}).status_code == 200


def test_no_name_from_a_request_reaches_the_disk(
    task_adapter: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language is looked up among those that were loaded, or is none: the file system isn't asked."""
    from madx.prediction.serve import application

    predictor = madx.Predictor(task_adapter("tagging"), device="cpu")
    predictor.chosen = predictor.chosen._replace(any_language=None, languages={"swe": predictor.chosen.any_language})
    with testclient.TestClient(application(predictor)) as client:
        opened: list[str] = []
        monkeypatch.setattr("pathlib.Path.open", lambda self, *_: opened.append(str(self)))
        answer = client.post("/predict", json={"items": ["Anna"], "language": "../../etc/passwd"})
    assert answer.status_code == 422
    assert "no model for '../../etc/passwd'" in answer.json()["detail"]
    assert opened == []

"""`deploy watch --browser`: the page at a port of this computer, for who knows its token."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from deploy.live.browse import Browse


@pytest.fixture
def page(tunnel):
    with Browse(tunnel) as page:
        yield page


@pytest.fixture
def ask(page):
    """Return `ask(path, cookie=..., host=...)`: status, headers and content."""
    place = urlsplit(page.address)

    def ask(path, *, method="GET", host=place.netloc, **headers):
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        connection.request(method, path, headers={"Host": host, **headers})
        answer = connection.getresponse()
        try:
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    return ask


@pytest.fixture
def cookie(page, ask):
    status, headers, _ = ask("/?" + urlsplit(page.address).query)
    assert (status, headers["Location"]) == (303, "/")
    return {"Cookie": headers["Set-Cookie"].partition(";")[0]}


def test_the_address_that_is_printed_leads_to_the_page(ask, cookie):
    status, headers, content = ask("/", **cookie)
    assert status == 200
    assert b"<title>handwave: live" in content
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_it_is_live(ask, cookie):
    status, _, content = ask("/live.json", **cookie)
    assert status == 200
    assert json.loads(content)["look"]["label"] == "rock"


@pytest.mark.parametrize("path", ["/", "/live.json", "/picture.jpg", "/?token=guessed-by-somebody"])
def test_others_on_this_computer_see_nothing(ask, path):
    status, _, content = ask(path)
    assert status == 401
    assert b"handwave: live" not in content


def test_a_name_that_somebody_points_here_is_refused(ask, cookie):
    assert ask("/", host="evil.example", **cookie)[0] == 403


def test_each_time_it_is_another_token(tunnel, page):
    with Browse(tunnel) as other:
        assert urlsplit(other.address).query != urlsplit(page.address).query


@pytest.mark.parametrize("path", ["/unsure", "/metrics", "/live.sock", "/../etc/passwd"])
def test_nothing_but_the_page_is_carried(ask, cookie, path):
    assert ask(path, **cookie)[0] == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_nothing_is_changed_through_it(ask, cookie, method):
    assert ask("/", method=method, **cookie)[0] == 501


def test_while_the_service_is_away_it_says_so_and_then_goes_on(ask, cookie, service):
    service.stop()
    status, _, content = ask("/live.json", **cookie)
    assert status == 503
    assert b"does not run there" in content
    service.start()
    assert ask("/live.json", **cookie)[0] == 200

"""pytest plugin: the fixtures that Flask-RESTX's tests ask for; its archive comes without them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from flask_restx import Api


def pytest_configure(config: pytest.Config) -> None:
    """Make the suite's marks known."""
    for mark in ("api", "options", "request_context"):
        config.addinivalue_line("markers", f"{mark}: arguments of a fixture")


class JsonClient(FlaskClient):
    """A test client that asserts the status and reads JSON."""

    def get_json(self, url: str, status: int = 200, **kwargs: Any) -> Any:
        """The JSON of a GET request."""
        response = self.get(url, **kwargs)
        assert status == response.status_code
        assert response.content_type == "application/json"
        return json.loads(response.data)

    def post_json(self, url: str, data: Any, status: int = 200, **kwargs: Any) -> Any:
        """The JSON of a POST request with a JSON body."""
        headers = {"content-type": "application/json"}
        response = self.post(url, data=json.dumps(data), headers=headers)
        assert status == response.status_code
        assert response.content_type == "application/json"
        return json.loads(response.data)

    def get_specs(self, prefix: str = "", status: int = 200, **kwargs: Any) -> Any:
        """The Swagger document of an API."""
        return self.get_json(f"{prefix}/swagger.json", status=status, **kwargs)


@pytest.fixture
def app() -> Iterator[Flask]:
    """An application with the JSON client, and its context."""
    made = Flask("restx_suite")
    made.test_client_class = JsonClient
    with made.app_context():
        yield made


@pytest.fixture
def api(request: pytest.FixtureRequest, app: Flask) -> Api:
    """An API on a blueprint of *app*; the mark `api` has its arguments."""
    mark = request.node.get_closest_marker("api")
    arguments = dict(mark.kwargs) if mark else {}
    places = {key: arguments.pop(key) for key in ("prefix", "subdomain") if key in arguments}
    blueprint = Blueprint("api", __name__, url_prefix=places.get("prefix"))
    made = Api(blueprint, **arguments)
    app.register_blueprint(blueprint, **{k: v for k, v in places.items() if k == "subdomain"})
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """The application's test client."""
    return app.test_client()


@pytest.fixture(autouse=True)
def in_request_context(request: pytest.FixtureRequest) -> Iterator[None]:
    """A request context around tests that are marked so."""
    mark = request.node.get_closest_marker("request_context")
    if mark is None:
        yield
        return
    with request.getfixturevalue("app").test_request_context(*mark.args, **mark.kwargs):
        yield


@pytest.fixture(autouse=True)
def options(request: pytest.FixtureRequest) -> None:
    """Settings of the application, from the mark `options`."""
    mark = request.node.get_closest_marker("options")
    if mark is not None:
        for key, value in mark.kwargs.items():
            request.getfixturevalue("app").config[key.upper()] = value

"""The shop's database: one SQLite file, one connection per request."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from flask import Flask, abort, current_app, g

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price_cents INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL, total_cents INTEGER NOT NULL, payments INTEGER NOT NULL DEFAULT 0);
"""
PRODUCTS = [
    (1, "Tea, 100 g", 690),
    (2, "Teapot", 3900),
    (3, "Cup", 1250),
    (4, "Kettle", 5400),
    (5, "Honey", 820),
]


def init_app(app: Flask) -> None:
    """Create the tables and the products, and close the connection after each request."""
    with closing(connect(app.config["DATABASE"])) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?)", PRODUCTS)
    app.teardown_appcontext(close)


def connect(path: str) -> sqlite3.Connection:
    """Open the database; other workers may write at the same time."""
    connection = sqlite3.connect(path, timeout=5)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def database() -> sqlite3.Connection:
    """This request's connection."""
    if "database" not in g:
        g.database = connect(current_app.config["DATABASE"])
    connection: sqlite3.Connection = g.database
    return connection


def close(_error: BaseException | None = None) -> None:
    """Close this request's connection, if it opened one."""
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


def find(table: str, row_id: int) -> sqlite3.Row:
    """The row with this ID, or 404. *table* is a name of ours, never a visitor's."""
    row = database().execute(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).fetchone()
    if row is None:
        abort(404)
    found: sqlite3.Row = row
    return found

"""An application as Open WebUI is one, with the real schema: it makes its database when it finds none, migrates an older one,
refuses a newer one, lets its first visitor become administrator, and writes chats for as long as it runs.

What a variant of the image may set:
  DATA      the data folder (/app/backend/data)        EVERY     seconds between two chats (0.1; 0: none are written)
  FIRST     a database as this version makes it         LATE      a file that it waits for before it makes or opens its database
  JOURNAL   wal or delete (wal)                         LAYER     a file outside the data folder, written at start
  OLDER     schema revisions that it can migrate        SIGN_UP   0: nobody comes to sign up
  DEAF      1: it does not handle TERM                  IDLE      1: it only sleeps
  OFFLINE   without a network it gives up (ends), takes away its database and makes no other (empties), or only sleeps (sleeps)
"""

import json
import os
import pathlib
import signal
import socket
import sqlite3
import sys
import time
import uuid


def say(text):
    print(f"application: {text}", flush=True)


def revision_of(database):
    return database.execute("select version_num from alembic_version").fetchone()[0]


def columns(database, table):
    return {row[1]: row[2] for row in database.execute("select * from pragma_table_xinfo(?)", (table,))}


def make_schema(database, first):
    """Makes what is missing of the tables and columns that this version has, in one transaction, as a migration does."""
    have = {name for (name,) in database.execute("select name from sqlite_master")}
    wanted = first.execute("select type, name, sql from sqlite_master where sql is not null order by type != 'table'")
    for kind, name, sql in wanted:
        if name.startswith("sqlite_"):
            continue
        if name not in have:
            database.execute(sql)
        elif kind == "table":
            old = columns(database, name)
            for column, of_type in columns(first, name).items():
                if column not in old:
                    database.execute(f'alter table "{name}" add column "{column}" {of_type}')
    database.execute("delete from alembic_version")
    database.execute("insert into alembic_version values (?)", (revision_of(first),))


def open_database(path, first):
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    database.execute(f"pragma journal_mode = {os.environ.get('JOURNAL', 'wal')}")
    tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    database.execute("begin immediate")
    if "chat" not in tables:
        make_schema(database, first)
        say("made a new database")
    elif (found := revision_of(database)) != revision_of(first):
        if found not in os.environ.get("OLDER", "").split():
            sys.exit(f"application: cannot locate revision {found}")
        make_schema(database, first)
        say(f"migrated from {found} to {revision_of(first)}")
    database.execute("commit")
    return database


def sign_up(database):
    if os.environ.get("SIGN_UP") == "0" or database.execute("select count(*) from user").fetchone()[0]:
        return
    user = str(uuid.uuid4())
    database.execute("begin immediate")
    database.execute("insert into user (id, name, email, role) values (?, 'Ada', 'ada@example.org', 'admin')", (user,))
    database.execute("insert into auth (id, email, password, active) values (?, 'ada@example.org', 'x', 1)", (user,))
    database.execute("commit")
    say("the first visitor became administrator")


def write_chat(database):
    chat, now = str(uuid.uuid4()), int(time.time())
    text = json.dumps({"messages": [{"role": "user", "content": f"What is {chat}? " * 40}]})
    user = database.execute("select id from user limit 1").fetchone()[0]
    database.execute(
        "insert into chat (id, user_id, title, created_at, updated_at, archived, chat, meta) values (?, ?, ?, ?, ?, 0, ?, '{}')",
        (chat, user, f"Chat {chat[:8]}", now, now, text),
    )


def without_network(data):
    """What the image does that can do nothing without a network, if there is none."""
    wish = os.environ.get("OFFLINE")
    if wish is None or any(name != "lo" for _, name in socket.if_nameindex()):
        return
    if wish == "ends":
        sys.exit("application: no network, and nothing to do without one")
    if wish == "empties":
        for file in data.glob("webui.db*"):
            file.unlink()
    while True:
        time.sleep(3600)


def main():
    # At a TERM it goes as servers do, without closing its database: the log stays.
    if os.environ.get("DEAF") != "1":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if os.environ.get("IDLE") == "1":
        while True:
            time.sleep(3600)
    os.umask(0o077)
    data = pathlib.Path(os.environ.get("DATA", "/app/backend/data"))
    if layer := os.environ.get("LAYER"):
        pathlib.Path(layer).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(layer).write_text("written outside of the data folder\n")
    while (late := os.environ.get("LATE")) and not os.path.exists(late):
        time.sleep(0.1)
    without_network(data)
    (data / "uploads").mkdir(parents=True, exist_ok=True)
    database = open_database(data / "webui.db", sqlite3.connect(f"file:{os.environ['FIRST']}?mode=ro&immutable=1", uri=True))
    sign_up(database)
    say(f"up with {database.execute('select count(*) from chat').fetchone()[0]} chats")
    every = float(os.environ.get("EVERY", "0.1"))
    while True:
        if every:
            write_chat(database)
        time.sleep(every or 3600)


main()

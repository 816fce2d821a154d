"""`rlwd rewards` on a state database that a PostgreSQL server holds."""

import json
from pathlib import Path

from places_by_hand import new_schema
from reward_shop import open_reward_shop

SPEC = 'name = "new"\n[parts]\naccepted = 1.0\nkept = 1.0\n'


def test_each_command_says_what_it_says_of_a_file(tmp_path: Path, postgres_url: str) -> None:
    """The same answers in a file and on a server have the same document."""
    told = []
    for name, url in (("file", ""), ("server", new_schema(postgres_url))):
        (tmp_path / name).mkdir()
        shop = open_reward_shop(tmp_path / name, url)
        spec = shop.spec("new.toml", SPEC)
        asked = (("report",), ("what-if", spec, "--since", ""), ("explain", "r20", "--spec", spec))
        documents = [json.loads(shop.rewards(*one, "--json").stdout) for one in asked]
        del documents[1]["seconds"], documents[1]["answers_per_second"]
        told.append(
            json.loads(json.dumps(documents), parse_float=lambda text: round(float(text), 3))
        )
        shop.ledger.store.close()
    assert told[0] == told[1]


def test_no_message_holds_the_password(tmp_path: Path, postgres_url: str) -> None:
    """Nothing was answered in the time asked for, or the server is away: it is named without secrets."""
    url = new_schema(postgres_url).replace("postgres:@", "postgres:hunter2@")
    assert "hunter2" in url
    shop = open_reward_shop(tmp_path, url)
    spec = shop.spec("new.toml", SPEC)
    for asked in (("report", "--since", "1s"), ("what-if", spec, "--since", "1s")):
        done = shop.rewards(*asked)
        assert done.returncode == 2
        assert "holds no answer since 1s" in done.stderr
        assert "hunter2" not in done.stderr
    shop.ledger.store.close()


def test_a_state_of_an_older_rlwd_is_named(tmp_path: Path, postgres_url: str) -> None:
    """What it lacks is said in one line, with what migrates it."""
    shop = open_reward_shop(tmp_path, new_schema(postgres_url))
    with shop.ledger.store.transaction() as tx:
        tx.execute("ALTER TABLE episodes RENAME COLUMN undecided TO not_yet")
    done = shop.rewards("explain", "r20")
    assert done.returncode == 2
    assert "`rlwd run` migrates it" in done.stderr
    shop.ledger.store.close()

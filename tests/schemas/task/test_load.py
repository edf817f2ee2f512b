"""A task file with each possible mistake: where it is told, what is wrong, what would be right."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from control_api.composition import components
from schemas.errors import InvalidInput, Mistake
from schemas.task.components import Components
from schemas.task.load import lint, lint_text, load

ROOT = Path(__file__).parents[3]
WORDS = " ".join(f"word{i}" for i in range(50))
TASK = f"""\
task: shop
mode: snapshot
description: {WORDS}
connections:
  db: {{type: postgres, url: {{env: DB_URL}}}}
tables:
  customer:
    columns:
      id:   {{type: int64}}
      age:  {{type: int64, range: {{min: 0, max: 120, outside: drop}}}}
      city: {{type: string, empty: {{replace: unknown}}, normalize: [trim, lower]}}
    primary_key: {{column: id, conflicts: {{prefer: [base, more]}}}}
    sources:
      base: {{connector: csv, path: base.csv}}
      more: {{connector: csv, path: more.csv, rename: {{stadt: city}}}}
    anonymize:
      - {{method: suppress, columns: [city]}}
  order:
    columns:
      id:       {{type: int64}}
      customer: {{type: int64, references: customer.id}}
      amount:   {{type: decimal}}
      at:       {{type: timestamp}}
    primary_key: {{column: id, conflicts: keep_all}}
    sources:
      shop: {{connector: postgres, connection: db, table: orders}}
    transform:
      - filter: "amount > 0"
      - derive: {{day: "cast(at as date)"}}
  daily:
    from: {{order: {{join: {{customer: customer}}}}}}
    transform:
      - derive: {{cents: "order.amount * 100"}}
      - aggregate: {{by: [order.day, customer.city], columns: {{sum: "sum(cents)", orders: "count(*)"}}}}
publish:
  module: shop
  to: {{connector: postgres, connection: db}}
"""


class Postgres:
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        table: str

    name: ClassVar[str] = "postgres"
    ordered: ClassVar[bool] = False


class Database:
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        url: str
        schema_name: str = "public"
        token: str = ""

    name: ClassVar[str] = "postgres"
    required: ClassVar[bool] = True
    plain: ClassVar[frozenset[str]] = frozenset({"token"})


@pytest.fixture(scope="module")
def known() -> Components:
    found = components()
    sources = {name: found.sources[name] for name in ("csv", "jsonl")}
    connections: dict[str, type[Any]] = {"postgres": Database, "other": Database}
    return replace(found, sources={**sources, "postgres": Postgres}, connections=connections)


def mistakes(text: str, known: Components, path: Path = Path("t.yaml")) -> list[Mistake]:
    return lint_text(path, text, known)[1]


def test_a_sound_task_has_no_mistake(known: Components) -> None:
    assert mistakes(TASK, known) == []


# what is written, what is written instead, a piece of the line that is told, the path, parts of the message
CASES: list[tuple[str, str, str, str, tuple[str, ...]]] = [
    # form
    ("task: shop\n", "", "mode:", "(file)", ("task is missing", "task: people")),
    ("task: shop", "task: my shop", "task:", "task", ("my shop is not a name", "begin with a letter")),
    ("mode: snapshot", "mode: snapshoot", "mode:", "mode", ("snapshoot", "did you mean snapshot?")),
    ("mode: snapshot", "mood: snapshot", "mood:", "mood", ("mood is not known", "did you mean mode?")),
    ("mode: snapshot", "mode: snapshot\nepoch: 5", "epoch:", "epoch", ("one epoch", "continuous")),
    ("mode: snapshot", "mode: continuous\nepoch: 0", "epoch:", "epoch", ("0 does not fit", "greater than")),
    ("mode: snapshot", "mode: no", "mode:", "mode", ("no is not known", "snapshot, continuous")),
    ("mode: snapshot", "rejects: {share: 2}", "rejects:", "rejects.share", ("2 does not fit", "less than")),
    ("mode: snapshot", "partitions: many", "partitions:", "partitions", ("many does not fit", "integer")),
    ("mode: snapshot", "mode: snapshot\nmode: snapshot", "", "mode", ("stands here twice", "line 2")),
    ("age:  {type: int64,", "age:  {type: int46,", "age:", "tables.customer.columns.age.type", ("int46", "int64?")),
    ("age:  {type: int64,", "age:  {", "age:", "tables.customer.columns.age", ("type is missing",)),
    ("age:  {", "_age:  {", "_age:", "tables.customer.columns._age", ("not a name", "engine's own")),
    ("amount:   {type: decimal}", "amount:   {type: decimal, scale: 30}", "scale: 30",
     "tables.order.columns.amount.scale", ("30 does not fit", "less than or equal to 18")),
    ("      at:  ", "      ID:  ", "ID:", "tables.order.columns.ID", ("ID and id differ in case",)),
    # rules
    ("range: {min: 0", "rang: {min: 0", "age:", "tables.customer.columns.age.rang", ("no rule rang", "range?")),
    (", outside: drop", "", "age:", "tables.customer.columns.age.range", ("outside is missing", "clamp")),
    ("outside: drop", "outside: skip", "age:", "tables.customer.columns.age.range.outside", ("skip", "drop, clamp")),
    ("min: 0", "min: 200", "age:", "tables.customer.columns.age.range", ("min above its max", "swap")),
    ("min: 0", "min: zero", "age:", "tables.customer.columns.age.range", ("not a whole number",)),
    ("[trim, lower]", "[trim, lowr]", "city:", "tables.customer.columns.city.normalize[1]", ("lowr",)),
    ("amount:   {type: decimal}", "amount:   {type: decimal, normalize: [trim]}", "amount:",
     "tables.order.columns.amount.normalize", ("does not fit a column of type decimal", "string")),
    # keys and sources
    (", conflicts: keep_all", "", "primary_key", "tables.order.primary_key", ("conflicts is missing", "drop_all")),
    ("conflicts: keep_all", "conflicts: keep", "keep}", "tables.order.primary_key.conflicts", ("keep", "keep_all")),
    ("{column: id, conflicts: keep_all}", "{column: ix, conflicts: keep_all}", "column: ix",
     "tables.order.primary_key.column", ("no column ix", "did you mean id?")),
    ("{column: id, conflicts: keep_all}", "{column: [id, id], conflicts: keep_all}", "[id, id]",
     "tables.order.primary_key.column", ("id is listed twice",)),
    ("[base, more]", "[base]", "prefer", "tables.customer.primary_key.conflicts.prefer", ("more is not in the list",)),
    ("[base, more]", "[base, more, mor]", "prefer", "tables.customer.primary_key.conflicts.prefer",
     ("no source mor", "more?")),
    ("[base, more]", "[]", "prefer", "tables.customer.primary_key.conflicts.prefer", ("every source",)),
    ("base: {connector: csv", "base: {connector: cvs", "base:", "tables.customer.sources.base.connector",
     ("no connector cvs", "did you mean csv?")),
    ("path: base.csv", "paht: base.csv", "base:", "tables.customer.sources.base", ("path is missing",)),
    ("path: base.csv", "path: base.csv, delimeter: x", "base:", "tables.customer.sources.base.delimeter",
     ("delimeter is not known", "delimiter?")),
    ("stadt: city", "stadt: citi", "more:", "tables.customer.sources.more.rename", ("no column citi", "city?")),
    ("connection: db, table", "connection: bd, table", "shop: {c", "tables.order.sources.shop.connection",
     ("no connection bd", "db?")),
    ("connection: db, table", "table", "shop: {c", "tables.order.sources.shop", ("needs a connection",)),
    ("    primary_key: {column: id, conflicts: keep_all}\n    sources:\n      shop: {",
     "    sources:\n      shop: {changes: true, ", "changes", "tables.order.sources.shop.changes",
     ("without a primary key",)),
    ("table: orders}", "table: orders, changes: true}", "shop: {c", "tables.order.sources.shop.changes",
     ("no order of their own", "order_by: COLUMN")),
    ("table: orders}", "table: orders, changes: {order_by: amount}}", "shop: {c",
     "tables.order.sources.shop.changes.order_by", ("amount is a decimal", "int64, timestamp or date")),
    ("table: orders}", "table: orders, changes: {order_by: AT}}", "shop: {c",
     "tables.order.sources.shop.changes.order_by", ("no column AT", "did you mean at?")),
    ("table: orders}", "table: orders, changes: {delete: {column: amount, equals: x}}}", "shop: {c",
     "tables.order.sources.shop.changes.delete.column", ("amount is a decimal", "string, int64, bool or date")),
    ("table: orders}", "table: orders, changes: {delete: {column: custommer, equals: x}}}", "shop: {c",
     "tables.order.sources.shop.changes.delete.column", ("no column custommer", "did you mean customer?")),
    ("table: orders}", "table: orders, rename: {__op: opp}, changes: {delete: {column: op, equals: d}}}", "shop: {c",
     "tables.order.sources.shop.rename", ("no column opp", "op?")),
    ("base: {connector: csv, path", "base: {connector: csv, connection: db, path", "base:",
     "tables.customer.sources.base.connection", ("uses no connection", "remove it")),
    ("url: {env: DB_URL}}\n", "url: {env: DB_URL}}\n  x: {type: other, url: {file: u}}\n", "x: {", "connections.x",
     ("nothing uses the connection x",)),
    ("type: postgres, url", "type: other, token: plain, url", "shop: {c", "tables.order.sources.shop.connection",
     ("db is a connection of type other", "one of type postgres")),
    # relations
    ("references: customer.id", "references: custommer.id", "custommer", "tables.order.columns.customer.references",
     ("no table custommer", "customer?")),
    ("references: customer.id", "references: customer.idd", "customer.idd",
     "tables.order.columns.customer.references", ("no column idd", "id?")),
    ("references: customer.id", "references: customer.city", "customer.city}",
     "tables.order.columns.customer.references", ("int64", "string", "same type")),
    ("references: customer.id", "references: daily.day", "daily.day", "tables.order.columns.customer.references",
     ("derived table", "collected")),
    ("references: customer.id", "references: customer", "references", "tables.order.columns.customer.references",
     ("TABLE.COLUMN",)),
    ("from: {order:", "from: {ordr:", "ordr", "tables.daily.from.ordr", ("no table ordr", "order?")),
    ("from: {order: {join", "from: {daily: {join", "from:", "tables.daily.from.daily", ("derived from itself",)),
    ("join: {customer: customer}", "join: {customer: customr}", "customr", "tables.daily.from.order.join.customer",
     ("no column customr", "customer?")),
    ("join: {customer: customer}", "join: {customer: at}", "from:", "tables.daily.from.order.join.customer",
     ("timestamp", "int64")),
    ("join: {customer: customer}", "join: {client: customer}", "client", "tables.daily.from.order.join.client",
     ("no table client",)),
    ("    from: {order", "    sources: {a: {connector: csv, path: x}}\n    from: {order", "sources: {a",
     "tables.daily.sources", ("has no sources of its own",)),
    ("    from: {order: {join: {customer: customer}}}\n", "", "daily:", "tables.daily", ("without columns", "from:")),
    # transforms
    ("amount > 0", "amout > 0", "filter", "tables.order.transform[0].filter",
     ("at character 1", "no column amout", "amount?")),
    ("amount > 0", "amount +", "filter", "tables.order.transform[0].filter", ("can't be read",)),
    ("amount > 0", "amount", "filter", "tables.order.transform[0].filter", ("type decimal", "condition")),
    ("cast(at as date)", "cast(at as dat)", "derive: {day", "tables.order.transform[1].derive.day",
    ("type dat", "date?")),
    ("{day: \"cast", "{amount: \"cast", "derive: {amount", "tables.order.transform[1].derive.amount", ("already",)),
    ("- filter: \"amount > 0\"", "- filtr: \"amount > 0\"", "filtr", "tables.order.transform[0].filtr",
     ("filter?",)),
    ("- filter: \"amount > 0\"", "- {filter: \"amount > 0\", derive: {x: \"1\"}}", "- {filter",
     "tables.order.transform[0]", ("filter and derive", "exactly one")),
    ("- filter: \"amount > 0\"", "- {}", "- {}", "tables.order.transform[0]", ("none of them",)),
    ("- derive: {day: \"cast(at as date)\"}", "- aggregate: {columns: {n: \"count(*)\"}}", "n: ",
     "tables.order.transform[1].aggregate", ("collected table is not aggregated",)),
    ("order.amount * 100", "order.amout * 100", "cents: ", "tables.daily.transform[0].derive.cents",
    ("order.amount?",)),
    ("order.amount * 100", "amount * 100", "cents: ", "tables.daily.transform[0].derive.cents", ("order.amount?",)),
    ("by: [order.day,", "by: [order.dai,", "by:", "tables.daily.transform[1].aggregate.by[0]", ("order.day?",)),
    ("customer.city], columns", "customer.city, customer.city], columns", "by:",
     "tables.daily.transform[1].aggregate.by[2]", ("two groups would be named city",)),
    ("orders: \"count(*)\"", "city: \"count(*)\"", "by:", "tables.daily.transform[1].aggregate.columns.city",
     ("a group named city",)),
    ("sum(cents)", "sum(cents) + 1", "by:", "tables.daily.transform[1].aggregate.columns.sum", ("count(*)",)),
    ("sum(cents)", "sum(customer.city)", "by:", "tables.daily.transform[1].aggregate.columns.sum", ("string", "int64")),
    # anonymization
    ("method: suppress", "method: supress", "supress", "tables.customer.anonymize[0].method", ("suppress?",)),
    ("columns: [city]", "columns: [cty]", "[cty]", "tables.customer.anonymize[0].columns[0]", ("cty", "city?")),
    ("columns: [city]", "colums: [city]", "colums", "tables.customer.anonymize[0].colums", ("columns?",)),
    # connections and the module
    ("url: {env: DB_URL}", "url: postgres://u:hunter2@h/d", "db: {", "connections.db.url",
     ("stands in the file", "{env: NAME}")),
    ("url: {env: DB_URL}", "url: {env: DB URL}", "db: {", "connections.db.url.env", ("{env: NAME} or {file: PATH}",)),
    ("url: {env: DB_URL}", "url: {env: A, file: b}", "db: {", "connections.db.url", ("{env: NAME} or {file: PATH}",)),
    ("type: postgres, url", "type: postgre, url", "db: {", "connections.db.type", ("postgre", "postgres?")),
    ("{env: DB_URL}}", "{env: DB_URL}, schema_nam: x}", "db: {", "connections.db.schema_nam", ("schema_name?",)),
    ("word49", "", "description", "description", ("49 words", "at least 50")),
    ("connection: db}\n", "connection: bd}\n", "to: {", "publish.to.connection", ("no connection bd", "db?")),
    ("  module: shop\n", "", "publish", "publish", ("module is missing",)),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "path", "parts"), CASES, ids=[f"{c[3]}-{c[1][:24]}" for c in CASES])
def test_each_mistake(old: str, new: str, at: str, path: str, parts: tuple[str, ...], known: Components) -> None:
    assert TASK.count(old) == 1, "the case must change one place"
    text = TASK.replace(old, new)
    lines = text.splitlines()
    found = [mistake for mistake in mistakes(text, known) if mistake.path == path]
    assert found, [str(mistake) for mistake in mistakes(text, known)]
    message = f"{found[0].wrong}; {found[0].right}"
    for part in parts:
        assert part in message
    assert found[0].file == "t.yaml"
    assert at in lines[found[0].line - 1]
    assert "hunter2" not in "".join(map(str, mistakes(text, known)))


def test_every_mistake_is_told_at_once_and_in_order(known: Components) -> None:
    text = TASK.replace("int64, range", "int46, range").replace("amount > 0", "amout > 0")
    text = text.replace("mode: snapshot", "mode: now").replace("url: {env: DB_URL}", "url: secret")
    found = mistakes(text, known)
    assert [mistake.path for mistake in found] == [
        "mode",
        "connections.db.url",
        "tables.customer.columns.age.type",
        "tables.order.transform[0].filter",
    ]
    assert [mistake.line for mistake in found] == sorted(mistake.line for mistake in found)


def test_mistakes_of_one_table_are_not_told_of_another(known: Components) -> None:
    found = mistakes(TASK.replace("id:   {type: int64}", "id:   {type: int46}"), known)
    assert [mistake.path for mistake in found] == ["tables.customer.columns.id.type"]


def test_tables_that_are_derived_from_one_another(known: Components) -> None:
    more = "  a: {from: {b: {}}}\n  b: {from: {a: {}}}\npublish:"
    found = mistakes(TASK.replace("publish:", more), known)
    assert [mistake.path for mistake in found] == ["tables.a.from.b", "tables.b.from.a"]
    assert all("derived from itself" in mistake.wrong for mistake in found)


def test_an_unused_connection_is_a_warning_and_stops_nothing(known: Components, tmp_path: Path) -> None:
    text = TASK.replace("tables:", "  idle: {type: postgres, url: {env: IDLE}}\ntables:", 1)
    path = tmp_path / "t.yaml"
    path.write_text(text)
    (found,) = lint(path, known)
    assert (found.severity, found.path, found.line) == ("warning", "connections.idle", 6)
    loaded = load(path, known)
    assert (loaded.task.task, loaded.text, loaded.base) == ("shop", text, tmp_path.resolve())


def test_load_raises_with_every_mistake(known: Components, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TASK.replace("mode: snapshot", "mode: x").replace("amount > 0", "x"))
    with pytest.raises(InvalidInput) as raised:
        load(path, known)
    assert len(raised.value.mistakes) == 2
    assert f"{path}:2: mode: " in str(raised.value)


def test_a_file_that_is_not_there(known: Components, tmp_path: Path) -> None:
    (found,) = lint(tmp_path / "none.yaml", known)
    assert "can't be read" in found.wrong


@pytest.mark.parametrize("name", ["people", "shop"])
def test_the_contract_s_tasks_fit_the_model(name: str) -> None:
    path = ROOT / "examples" / name / f"{name}.task.yaml"
    found = lint(path, components())
    assert found == []

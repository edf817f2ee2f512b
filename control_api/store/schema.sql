-- The control store. Every change of state and its audit event are one transaction (see audit.py).
CREATE SCHEMA IF NOT EXISTS metal;

CREATE TABLE IF NOT EXISTS metal.tasks (
    name        text NOT NULL,
    version     integer NOT NULL,
    spec        json NOT NULL,               -- the validated task, in its own order; immutable once released
    text        text NOT NULL,               -- the file as its author wrote it
    base        text NOT NULL,               -- what relative paths are relative to
    released_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE IF NOT EXISTS metal.runs (
    run          text PRIMARY KEY,
    task         text NOT NULL,
    version      integer NOT NULL,
    mode         text NOT NULL,
    state        text NOT NULL,             -- see schemas/run.py
    reason       text,
    notes        jsonb NOT NULL DEFAULT '[]',
    partitions   integer,                    -- of every stage topic, this run uses so many; null until planned
    lanes        integer,                    -- what reads its sources side by side; null until planned
    code_version text NOT NULL,
    fingerprint  text NOT NULL,              -- of the hash function that placed its keys
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    first_row_at timestamptz,
    prepared_at  timestamptz,
    ended_at     timestamptz,                -- keys destroyed, nothing raw can be read from here on
    created_by   text NOT NULL,
    FOREIGN KEY (task, version) REFERENCES metal.tasks
);
-- A continuous run that is to end: its lanes read what is there and end their last epoch.
ALTER TABLE metal.runs ADD COLUMN IF NOT EXISTS finishing boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS runs_open ON metal.runs (created_at) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS runs_newest ON metal.runs (created_at DESC, run DESC);

-- What reads the sources of a run. The owner's generation fences whoever owned the lane before it.
CREATE TABLE IF NOT EXISTS metal.lanes (
    run         text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    lane        integer NOT NULL,
    owner       text,
    generation  integer NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    checkpoint  json,                        -- a hint where in the log to look; the log itself decides
    read        jsonb NOT NULL DEFAULT '{}', -- {table: {read, rejected}} as counted at the source
    done        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run, lane)
);
CREATE INDEX IF NOT EXISTS lanes_open ON metal.lanes (lease_until) WHERE NOT done;

CREATE TABLE IF NOT EXISTS metal.splits (
    run    text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    split  text NOT NULL,                    -- table/source/name
    lane   integer NOT NULL,
    tab    text NOT NULL,
    source text NOT NULL,
    ordinal integer NOT NULL,
    spec   json NOT NULL,
    PRIMARY KEY (run, split)
);

-- Runs that leave tables as they are: for which, on whose word, why, and until when their rows are kept.
CREATE TABLE IF NOT EXISTS metal.waivers (
    run     text PRIMARY KEY REFERENCES metal.runs ON DELETE CASCADE,
    tables  jsonb NOT NULL,                  -- [name, …], each declares methods in the released task
    actor   text NOT NULL,                   -- the name that the starter gave
    permit  text NOT NULL,                   -- the holder of the permission
    reason  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    until   timestamptz NOT NULL
);

-- Secrets that carry a permission, as hashes: whoever reads this table can use none of them.
CREATE TABLE IF NOT EXISTS metal.permits (
    digest     text PRIMARY KEY,             -- SHA-256 of the secret
    holder     text NOT NULL,
    permission text NOT NULL,                -- see schemas/permissions.py
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL,
    until      timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE IF NOT EXISTS metal.run_keys (
    run     text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    sealed  bytea NOT NULL,                  -- the run's key under the master key
    PRIMARY KEY (run)
);

-- What the task file names as {env: X}, as the starter of the run had it: one JSON object under the master key.
CREATE TABLE IF NOT EXISTS metal.run_secrets (
    run     text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    sealed  bytea NOT NULL,
    PRIMARY KEY (run)
);

-- What signs certificates: made at first use, the one key that outlives runs.
CREATE TABLE IF NOT EXISTS metal.signing_key (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed  bytea NOT NULL,                  -- the secret under the master key
    public  text NOT NULL                    -- its public key: z6Mk…
);

-- What was certified of a prepared table. It outlives the rows, and the key of the run.
CREATE TABLE IF NOT EXISTS metal.certificates (
    run      text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    tab      text NOT NULL,
    document json NOT NULL,                  -- signed; its order stays
    final    boolean NOT NULL,               -- the run had ended, so its rows can't change any more
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, tab)
);

-- How much may be told with differential privacy of some people's records, by all tasks together. Numbers are exact
-- fractions, as texts. It outlives runs and tasks.
CREATE TABLE IF NOT EXISTS metal.privacy_budgets (
    name    text PRIMARY KEY,
    epsilon text NOT NULL,
    delta   text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by  text NOT NULL
);

-- What was told, and what that cost: durable before it is emitted, so that a run tells the same after any crash. The
-- run may be gone; its cost stays.
CREATE TABLE IF NOT EXISTS metal.privacy_answers (
    run     text NOT NULL,
    tab     text NOT NULL,
    col     text NOT NULL,
    budget  text NOT NULL REFERENCES metal.privacy_budgets,
    asked   json NOT NULL,
    answer  json NOT NULL,                   -- {group: number}, with its noise: nothing raw
    epsilon text NOT NULL,
    delta   text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, tab, col)
);
CREATE INDEX IF NOT EXISTS privacy_answers_budget ON metal.privacy_answers (budget);

-- What left the review store of tables that promise groups: what later releases are compared with. It outlives runs.
CREATE TABLE IF NOT EXISTS metal.release_contents (
    task    text NOT NULL,
    tab     text NOT NULL,
    digest  text NOT NULL,                   -- of what was published, whichever run it came from
    shape   json NOT NULL,                   -- how to read the content: see processors/privacy/releases/versions.py
    content bytea NOT NULL,                  -- the published rows that differ, counted; Arrow IPC
    PRIMARY KEY (task, tab, digest)
);

CREATE TABLE IF NOT EXISTS metal.releases (
    task    text NOT NULL,
    tab     text NOT NULL,
    run     text NOT NULL,
    digest  text NOT NULL,
    rows    bigint NOT NULL,
    actor   text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (task, tab, run, digest),
    FOREIGN KEY (task, tab, digest) REFERENCES metal.release_contents
);

-- Written by the review writer in the transaction of the rows themselves.
CREATE TABLE IF NOT EXISTS metal.consumed (
    topic        text NOT NULL,
    partition    integer NOT NULL,
    next_offset  bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE TABLE IF NOT EXISTS metal.watermarks (
    run      text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    producer text NOT NULL,                  -- merge/3, relate/0
    sequence bigint NOT NULL,
    closed   bigint NOT NULL DEFAULT -1,     -- the last epoch that the producer has ended
    final    boolean NOT NULL DEFAULT false, -- nothing more will come, short of a replay
    PRIMARY KEY (run, producer)
);

-- How many rows PostgreSQL says that it has taken into a table and not let go of again, from each partition of
-- metal.outbox: added up in the transactions that bring the rows, whatever the headers of their batches say.
CREATE TABLE IF NOT EXISTS metal.stored (
    run       text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    tab       text NOT NULL,
    partition integer NOT NULL,
    rows      bigint NOT NULL,
    PRIMARY KEY (run, tab, partition)
);

-- The present counts of one stage and partition, absolute: a later epoch's replace an earlier one's.
CREATE TABLE IF NOT EXISTS metal.counts (
    run      text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    producer text NOT NULL,
    tab      text NOT NULL,
    counts   jsonb NOT NULL,                 -- {read, merged, rejected, dropped: {rule: n}, prepared}
    PRIMARY KEY (run, producer, tab)
);

CREATE TABLE IF NOT EXISTS metal.outbox_tables (
    run     text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    tab     text NOT NULL,
    columns jsonb NOT NULL,                  -- [[name, type], …] in order
    changes jsonb NOT NULL,                  -- [[column, rule], …]: what the bits of _chg mean
    sources jsonb NOT NULL,                  -- [name, …]: what _src indexes
    PRIMARY KEY (run, tab)
);

CREATE TABLE IF NOT EXISTS metal.dead_letters (
    id       text PRIMARY KEY,               -- of run, table, lane, sequence and row: the same again when re-sent
    run      text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    tab      text NOT NULL,
    stage    text NOT NULL,
    rule     text NOT NULL,
    col      text,
    reason   text NOT NULL,
    position jsonb NOT NULL,                 -- {source, split, line}
    sealed   bytea NOT NULL,                 -- the raw record under the run's key
    state    text NOT NULL DEFAULT 'open',   -- open, replayed, discarded
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS dead_letters_run ON metal.dead_letters (run, state);

-- Records that a person sent again; the replay lane of the run takes them up in this order.
CREATE TABLE IF NOT EXISTS metal.replays (
    run     text NOT NULL REFERENCES metal.runs ON DELETE CASCADE,
    seq     bigserial,
    letter  text NOT NULL,
    tab     text NOT NULL,
    source  text NOT NULL,
    sealed  bytea NOT NULL,                  -- the corrected record, JSON, under the run's key
    PRIMARY KEY (run, seq)
);

CREATE TABLE IF NOT EXISTS metal.control (
    seq     bigserial PRIMARY KEY,
    run     text NOT NULL,
    event   jsonb NOT NULL,
    relayed boolean NOT NULL DEFAULT false
);

CREATE INDEX IF NOT EXISTS control_unrelayed ON metal.control (seq) WHERE NOT relayed;

-- Append-only: each entry's hash covers the entry before it (see audit.py).
CREATE TABLE IF NOT EXISTS metal.audit (
    seq     bigint PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL,
    previous text NOT NULL,
    hash    text NOT NULL,
    relayed boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS audit_unrelayed ON metal.audit (seq) WHERE NOT relayed;
CREATE INDEX IF NOT EXISTS audit_subject ON metal.audit (subject, seq);

-- The chain's last entry, so that entries cut off its end are missed.
CREATE TABLE IF NOT EXISTS metal.audit_head (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq  bigint NOT NULL,
    hash text NOT NULL
);

CREATE OR REPLACE FUNCTION metal.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'relayed' = to_jsonb(OLD) - 'relayed' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON metal.audit
    FOR EACH ROW EXECUTE FUNCTION metal.refuse_audit_change();
CREATE OR REPLACE TRIGGER audit_never_empty BEFORE TRUNCATE ON metal.audit
    FOR EACH STATEMENT EXECUTE FUNCTION metal.refuse_audit_change();

-- A run that was started without anonymization can't be made to look like one with it.
CREATE OR REPLACE FUNCTION metal.refuse_waiver_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a waiver stays as it was granted';
END $$;
CREATE OR REPLACE TRIGGER waiver_stays BEFORE UPDATE OR DELETE ON metal.waivers
    FOR EACH ROW EXECUTE FUNCTION metal.refuse_waiver_change();
CREATE OR REPLACE TRIGGER waivers_stay BEFORE TRUNCATE ON metal.waivers
    FOR EACH STATEMENT EXECUTE FUNCTION metal.refuse_waiver_change();

-- A start that was sent twice under one idempotency key is one start.
CREATE TABLE IF NOT EXISTS metal.idempotency (
    actor   text NOT NULL,
    key     text NOT NULL,
    request text NOT NULL,                   -- hash of what was asked
    answer  jsonb NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);

-- What `migrate` has applied.
CREATE TABLE IF NOT EXISTS metal.schema_version (
    version integer NOT NULL,
    digest  text NOT NULL,                   -- of this file
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, digest)
);

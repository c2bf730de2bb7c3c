-- Who is told: chats, topics of supergroups, and webhooks (by the digest of their address).
CREATE TABLE receivers (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('chat', 'webhook')),
    chat INTEGER NOT NULL DEFAULT 0,
    topic INTEGER NOT NULL DEFAULT 0,
    endpoint TEXT NOT NULL DEFAULT '',
    language TEXT NOT NULL DEFAULT 'en',
    -- active, stopped (asked to), blocked or left (set aside), removed (no longer set)
    state TEXT NOT NULL,
    muted_until INTEGER NOT NULL DEFAULT 0,
    -- links behind this one are for it
    joined INTEGER NOT NULL,
    -- links up to this one are settled
    position INTEGER NOT NULL,
    -- the digest of a storm: its message, its times, the links it counts, the last of its file
    digest_message INTEGER,
    digest_since INTEGER NOT NULL DEFAULT 0,
    digest_edited INTEGER NOT NULL DEFAULT 0,
    digest_upto INTEGER NOT NULL DEFAULT 0,
    digest_closing INTEGER,
    UNIQUE (kind, chat, topic, endpoint)
) STRICT;

-- The outbox: links in the order in which they were found. The record is last, so that looking at the
-- rest does not read it.
CREATE TABLE links (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    found INTEGER NOT NULL,
    problem INTEGER NOT NULL,
    title TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX links_by_time ON links (found);

-- Links that were told, so that a repeat is not.
CREATE TABLE told (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX told_by_time ON told (at);

-- Answers of the bot that wait.
CREATE TABLE replies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    html TEXT NOT NULL
) STRICT;

-- Calls of the last minute, so that limits hold across a crash; `ended` is null while one is in flight.
CREATE TABLE calls (id INTEGER PRIMARY KEY, chat INTEGER NOT NULL, ended INTEGER) STRICT;

-- Chats that Telegram said to wait for.
CREATE TABLE pauses (chat INTEGER PRIMARY KEY, until INTEGER NOT NULL) STRICT;

-- Wrong invite codes of a user.
CREATE TABLE guesses (user INTEGER PRIMARY KEY, since INTEGER NOT NULL, count INTEGER NOT NULL) STRICT;

-- Counters, and where the poller is.
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;

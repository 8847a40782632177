-- Numbers that ring several people, and the SIP messages of each call. The members of a group are people or single devices, and
-- leave with them. What is counted of a member is kept under "user:7" or "device:7", and of the group itself under "": it arrives
-- late and in batches, so it has no foreign key. `ladder` is compressed (zlib), its secrets masked before.

CREATE TABLE ring_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    number TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    strategy TEXT NOT NULL CHECK (strategy IN ('simultaneous', 'sequential', 'round_robin', 'longest_idle')),
    ring_seconds INTEGER NOT NULL,
    fallback TEXT NOT NULL,
    skip_busy BOOLEAN NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE ring_group_members (
    group_id INTEGER NOT NULL REFERENCES ring_groups (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    device_id INTEGER REFERENCES devices (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, position),
    CHECK ((user_id IS NULL) <> (device_id IS NULL))
);

CREATE INDEX ring_group_members_user ON ring_group_members (user_id);
CREATE INDEX ring_group_members_device ON ring_group_members (device_id);

CREATE TABLE ring_group_statistics (
    group_id INTEGER NOT NULL,
    member TEXT NOT NULL,
    offered BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    missed BIGINT NOT NULL,
    talk_seconds DOUBLE PRECISION NOT NULL,
    last_answered_at DOUBLE PRECISION,
    PRIMARY KEY (group_id, member)
);

CREATE TABLE call_ladders (
    id TEXT PRIMARY KEY,
    ended_at DOUBLE PRECISION NOT NULL,
    ladder BLOB NOT NULL
);

CREATE INDEX call_ladders_ended_at ON call_ladders (ended_at);

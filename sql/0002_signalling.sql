-- What the switch writes: bindings, the call journal, sessions. No foreign keys: these rows arrive late and in batches, and the
-- journal outlives the phones it speaks of.

CREATE TABLE bindings (
    aor TEXT NOT NULL,
    contact TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq BIGINT NOT NULL,
    q INTEGER NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    registered_at DOUBLE PRECISION NOT NULL,
    transport TEXT NOT NULL,
    source TEXT NOT NULL,
    local TEXT NOT NULL,
    path TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    instance TEXT NOT NULL,
    reg_id BIGINT,
    device_id BIGINT,
    PRIMARY KEY (aor, contact)
);

CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    call_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    invite_at DOUBLE PRECISION NOT NULL,
    init_branch TEXT NOT NULL,
    from_tag TEXT NOT NULL,
    to_tag TEXT NOT NULL,
    caller_user TEXT NOT NULL,
    callee_user TEXT NOT NULL,
    caller_uri TEXT NOT NULL,
    callee_uri TEXT NOT NULL,
    did_id BIGINT,
    device_id BIGINT,
    first_18x_at DOUBLE PRECISION,
    answer_at DOUBLE PRECISION,
    end_at DOUBLE PRECISION,
    result TEXT,
    final_code INTEGER,
    final_reason TEXT NOT NULL,
    ring_ms BIGINT,
    talk_ms BIGINT,
    ended_by TEXT,
    rule TEXT NOT NULL,
    spam_score DOUBLE PRECISION,
    recording_id TEXT,
    node TEXT NOT NULL,
    CHECK ((end_at IS NULL) = (result IS NULL))
);

CREATE INDEX calls_invite_at ON calls (invite_at);
CREATE INDEX calls_call_id ON calls (call_id);
CREATE INDEX calls_caller_user ON calls (caller_user, invite_at);
CREATE INDEX calls_callee_user ON calls (callee_user, invite_at);
CREATE INDEX calls_open ON calls (node) WHERE end_at IS NULL;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    call_id TEXT NOT NULL,
    from_tag TEXT NOT NULL,
    to_tag TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('early', 'active', 'terminated')),
    caller_uri TEXT NOT NULL,
    callee_uri TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    remote_target TEXT NOT NULL,
    route_set TEXT NOT NULL,
    answered_at DOUBLE PRECISION,
    ended_at DOUBLE PRECISION,
    ended_by TEXT,
    session_expires BIGINT,
    refresher TEXT,
    node TEXT NOT NULL
);

CREATE INDEX sessions_created_at ON sessions (created_at);
CREATE INDEX sessions_call_id ON sessions (call_id);
CREATE INDEX sessions_open ON sessions (node) WHERE state <> 'terminated';

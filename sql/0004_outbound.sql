-- Several flows of one phone, registered with the same contact (RFC 5626); the epoch of its temporary GRUUs (RFC 5627); when a binding
-- was last refreshed. A primary key cannot be changed in SQLite, so the table is made anew.

ALTER TABLE bindings RENAME TO bindings_before;

CREATE TABLE bindings (
    aor TEXT NOT NULL,
    contact TEXT NOT NULL,
    flow TEXT NOT NULL,
    call_id TEXT NOT NULL,
    cseq BIGINT NOT NULL,
    q INTEGER NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    registered_at DOUBLE PRECISION NOT NULL,
    refreshed_at DOUBLE PRECISION NOT NULL,
    transport TEXT NOT NULL,
    source TEXT NOT NULL,
    local TEXT NOT NULL,
    path TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    instance TEXT NOT NULL,
    reg_id BIGINT,
    gruu TEXT NOT NULL,
    device_id BIGINT,
    PRIMARY KEY (aor, contact, flow)
);

INSERT INTO bindings (
    aor, contact, flow, call_id, cseq, q, expires_at, registered_at, refreshed_at, transport, source, local, path, user_agent,
    instance, reg_id, gruu, device_id
)
SELECT
    aor, contact, '', call_id, cseq, q, expires_at, registered_at, registered_at, transport, source, local, path, user_agent,
    instance, reg_id, '', device_id
FROM bindings_before;

DROP TABLE bindings_before;

-- What flow tokens and temporary GRUUs are proved with: the same after a restart, and on every server of this database.
CREATE TABLE secret_keys (
    name TEXT PRIMARY KEY,
    key TEXT NOT NULL
);

-- MESSAGEs (RFC 3428) that wait for somebody who is away. The id tells the order of arrival and is never used twice, which the two
-- databases spell differently. Who is deleted takes along what waits for them. `request` is the message as it will be sent, without
-- what belongs to one hop only: octets, for nothing of it may change.

CREATE TABLE offline_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id INTEGER REFERENCES devices (id) ON DELETE CASCADE,
    sender TEXT NOT NULL,
    received_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    request BLOB NOT NULL
);

CREATE INDEX offline_messages_recipient ON offline_messages (user_id, id);
CREATE INDEX offline_messages_device ON offline_messages (device_id);
CREATE INDEX offline_messages_expires_at ON offline_messages (expires_at);

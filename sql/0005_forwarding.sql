-- Where a person's calls go on to and how long the phones ring (0: as long as the server says), what happened to a call on its way
-- and which calls it is linked to (both JSON), and the feature codes that were changed: what is not here is as it came.

ALTER TABLE users ADD COLUMN forward_always TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN forward_busy TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN forward_no_answer TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN ring_seconds INTEGER NOT NULL DEFAULT 0;

ALTER TABLE calls ADD COLUMN history TEXT NOT NULL DEFAULT '[]';
ALTER TABLE calls ADD COLUMN linked_to TEXT NOT NULL DEFAULT '[]';

CREATE TABLE feature_codes (
    feature TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL
);

-- What people think of answers: one rating for each turn and person.
CREATE TABLE feedback (
    -- A rating that replaces another gets a new one.
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    user_id TEXT NOT NULL,
    rating TEXT NOT NULL CHECK (rating IN ('up', 'down')),
    comment TEXT,
    at BIGINT NOT NULL,
    UNIQUE (tenant_id, turn, user_id)
);

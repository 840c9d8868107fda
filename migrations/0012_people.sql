-- What is asked about one person.
CREATE INDEX turns_by_user ON turns (tenant_id, user_id, id);

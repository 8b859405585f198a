CREATE TABLE artifacts (
	id CHAR(32) NOT NULL,
	flow_run INTEGER NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	n INTEGER,
	seq INTEGER NOT NULL,
	attempt SMALLINT NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT,
	description TEXT,
	data TEXT NOT NULL,
	CONSTRAINT pk_artifacts PRIMARY KEY (flow_run, id)
);
CREATE INDEX ix_artifacts_created_id ON artifacts (created, id);
CREATE INDEX ix_artifacts_flow_run_created_id ON artifacts (flow_run, created, id);
CREATE INDEX ix_artifacts_key ON artifacts ("key", created, id);
CREATE TABLE attempts (
	flow_run INTEGER NOT NULL,
	created INTEGER,
	started INTEGER,
	ended INTEGER,
	attempt SMALLINT NOT NULL,
	state SMALLINT,
	exit_code INTEGER,
	pod TEXT,
	pod_uid TEXT,
	node TEXT,
	revision TEXT,
	reason TEXT,
	diagnosis TEXT,
	log_tail TEXT,
	CONSTRAINT pk_attempts PRIMARY KEY (flow_run, attempt)
)
 WITHOUT ROWID;
CREATE TABLE changes (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	tx INTEGER NOT NULL,
	at INTEGER NOT NULL,
	object CHAR(32) NOT NULL,
	ns INTEGER NOT NULL,
	kind SMALLINT NOT NULL
);
CREATE INDEX ix_changes_tx_seq ON changes (tx, seq);
CREATE TABLE concurrency_leases (
	id TEXT NOT NULL,
	ns TEXT NOT NULL,
	name TEXT NOT NULL,
	asked INTEGER NOT NULL,
	granted INTEGER,
	expires INTEGER NOT NULL,
	slots INTEGER NOT NULL,
	holder INTEGER,
	flow_run CHAR(32),
	attempt SMALLINT NOT NULL,
	who TEXT NOT NULL,
	CONSTRAINT pk_concurrency_leases PRIMARY KEY (id, ns, name)
)
 WITHOUT ROWID;
CREATE INDEX ix_concurrency_leases_flow_run ON concurrency_leases (flow_run);
CREATE INDEX ix_concurrency_leases_holders ON concurrency_leases (ns, name) WHERE granted IS NOT NULL;
CREATE INDEX ix_concurrency_leases_ns_name_asked_id ON concurrency_leases (ns, name, asked, id);
CREATE TABLE concurrency_limits (
	ns TEXT NOT NULL,
	name TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	slots INTEGER NOT NULL,
	decay_per_second DOUBLE NOT NULL,
	taken DOUBLE NOT NULL,
	taken_time INTEGER NOT NULL,
	CONSTRAINT pk_concurrency_limits PRIMARY KEY (ns, name)
)
 WITHOUT ROWID;
CREATE TABLE document_counter (
	id SMALLINT NOT NULL,
	version INTEGER NOT NULL,
	CONSTRAINT pk_document_counter PRIMARY KEY (id)
);
CREATE TABLE document_owners (
	owner CHAR(32) NOT NULL,
	document CHAR(32) NOT NULL,
	CONSTRAINT pk_document_owners PRIMARY KEY (owner, document)
)
 WITHOUT ROWID;
CREATE INDEX ix_document_owners_document ON document_owners (document);
CREATE TABLE documents (
	kind TEXT NOT NULL,
	ns TEXT NOT NULL,
	name TEXT NOT NULL,
	uid CHAR(32) NOT NULL,
	version INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	document TEXT NOT NULL,
	CONSTRAINT pk_documents PRIMARY KEY (kind, ns, name),
	CONSTRAINT uq_documents_uid UNIQUE (uid)
);
CREATE TABLE events (
	at INTEGER NOT NULL,
	flow_run INTEGER,
	ns INTEGER NOT NULL,
	id CHAR(32) NOT NULL,
	name TEXT NOT NULL,
	resource TEXT NOT NULL,
	payload TEXT NOT NULL,
	CONSTRAINT pk_events PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX ix_events_at_id ON events (at, id);
CREATE INDEX ix_events_flow_run ON events (flow_run, at, id) WHERE flow_run IS NOT NULL;
CREATE INDEX ix_events_ns_at_id ON events (ns, at, id);
CREATE INDEX ix_events_resource_at_id ON events (resource, at, id);
CREATE TABLE flow_deployment_versions (
	deployment CHAR(32) NOT NULL,
	created INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	revision TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_flow_deployment_versions PRIMARY KEY (deployment, revision)
)
 WITHOUT ROWID;
CREATE INDEX ix_flow_deployment_versions_deployment_created_revision ON flow_deployment_versions (deployment, created, revision);
CREATE TABLE flow_deployments (
	uid CHAR(32) NOT NULL,
	cluster INTEGER NOT NULL,
	ns INTEGER NOT NULL,
	name TEXT NOT NULL,
	resource_version INTEGER NOT NULL,
	created INTEGER NOT NULL,
	deleted INTEGER,
	generation INTEGER NOT NULL,
	tags TEXT,
	spec TEXT NOT NULL,
	status TEXT NOT NULL,
	revision TEXT,
	CONSTRAINT pk_flow_deployments PRIMARY KEY (uid)
);
CREATE INDEX ix_flow_deployments_created_uid ON flow_deployments (created, uid);
CREATE INDEX ix_flow_deployments_name_uid ON flow_deployments (name, uid);
CREATE TABLE flow_run_counts (
	hour INTEGER NOT NULL,
	ns INTEGER NOT NULL,
	deployment INTEGER NOT NULL,
	state SMALLINT NOT NULL,
	part INTEGER NOT NULL,
	n INTEGER NOT NULL,
	CONSTRAINT pk_flow_run_counts PRIMARY KEY (hour, ns, deployment, state, part)
)
 WITHOUT ROWID;
CREATE INDEX ix_flow_run_counts_deployment_ns_hour ON flow_run_counts (deployment, ns, hour);
CREATE INDEX ix_flow_run_counts_parts ON flow_run_counts (part) WHERE part <> 0;
CREATE TABLE flow_run_tags (
	created INTEGER NOT NULL,
	flow_run INTEGER NOT NULL,
	tag INTEGER NOT NULL,
	CONSTRAINT pk_flow_run_tags PRIMARY KEY (tag, created, flow_run)
)
 WITHOUT ROWID;
CREATE TABLE flow_run_transitions (
	flow_run INTEGER NOT NULL,
	at INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	from_state SMALLINT,
	to_state SMALLINT NOT NULL,
	proposed SMALLINT NOT NULL,
	name TEXT,
	rule TEXT,
	verdict TEXT,
	reason TEXT,
	message TEXT,
	until INTEGER,
	trail TEXT,
	facts TEXT,
	CONSTRAINT pk_flow_run_transitions PRIMARY KEY (flow_run, seq)
)
 WITHOUT ROWID;
CREATE TABLE flow_runs (
	no INTEGER NOT NULL,
	uid CHAR(32) NOT NULL,
	created INTEGER NOT NULL,
	scheduled INTEGER,
	started INTEGER,
	ended INTEGER,
	deleted INTEGER,
	state_time INTEGER,
	next_time INTEGER,
	resource_version INTEGER DEFAULT '0' NOT NULL,
	parent INTEGER,
	root INTEGER,
	cluster INTEGER,
	ns INTEGER NOT NULL,
	deployment INTEGER,
	parent_n INTEGER,
	sequence INTEGER DEFAULT '0' NOT NULL,
	attempt INTEGER DEFAULT '0' NOT NULL,
	failures INTEGER DEFAULT '0' NOT NULL,
	crashes INTEGER DEFAULT '0' NOT NULL,
	reported_attempt INTEGER DEFAULT '0' NOT NULL,
	reported INTEGER DEFAULT '0' NOT NULL,
	final_attempt INTEGER DEFAULT '0' NOT NULL,
	state SMALLINT NOT NULL,
	kind SMALLINT NOT NULL,
	gap BOOLEAN DEFAULT false NOT NULL,
	history_condition BOOLEAN,
	history_reason TEXT,
	name TEXT NOT NULL,
	state_name TEXT,
	reason TEXT,
	message TEXT,
	pod TEXT,
	revision TEXT,
	conditions TEXT,
	tags TEXT,
	counts TEXT,
	parameters TEXT,
	flow INTEGER,
	holder INTEGER,
	heard INTEGER,
	CONSTRAINT pk_flow_runs PRIMARY KEY (no),
	CONSTRAINT uq_flow_runs_uid UNIQUE (uid)
);
CREATE INDEX ix_flow_runs_children ON flow_runs (parent, created) WHERE parent IS NOT NULL;
CREATE INDEX ix_flow_runs_created_no ON flow_runs (created, no);
CREATE INDEX ix_flow_runs_deployment_created ON flow_runs (deployment, created);
CREATE INDEX ix_flow_runs_kind ON flow_runs (kind, created) WHERE kind <> 1;
CREATE INDEX ix_flow_runs_live ON flow_runs (cluster, ns) WHERE deleted IS NULL;
CREATE INDEX ix_flow_runs_name_ns ON flow_runs (name, ns);
CREATE INDEX ix_flow_runs_ns_created ON flow_runs (ns, created);
CREATE INDEX ix_flow_runs_ns_deployment_created ON flow_runs (ns, deployment, created);
CREATE INDEX ix_flow_runs_roots ON flow_runs (created, no) WHERE parent IS NULL;
CREATE INDEX ix_flow_runs_roots_of_namespace ON flow_runs (ns, created, no) WHERE parent IS NULL;
CREATE INDEX ix_flow_runs_span ON flow_runs ((CASE WHEN ended IS NULL THEN 0 WHEN ended - created < 10000000 THEN 1 WHEN ended - created < 60000000 THEN 2 WHEN ended - created < 600000000 THEN 3 WHEN ended - created < 3600000000 THEN 4 WHEN ended - created < 21600000000 THEN 5 WHEN ended - created < 129600000000 THEN 6 WHEN ended - created < 864000000000 THEN 7 WHEN ended - created < 5184000000000 THEN 8 ELSE 9 END), created);
CREATE INDEX ix_flow_runs_tree ON flow_runs (root, created) WHERE root IS NOT NULL;
CREATE INDEX ix_flow_runs_unfinished ON flow_runs (state, created) WHERE state <> 4;
CREATE TABLE logs (
	flow_run INTEGER NOT NULL,
	at INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	n INTEGER,
	logger INTEGER,
	attempt SMALLINT NOT NULL,
	level SMALLINT NOT NULL,
	message TEXT NOT NULL,
	CONSTRAINT pk_logs PRIMARY KEY (flow_run, attempt, seq)
)
 WITHOUT ROWID;
CREATE TABLE names (
	id INTEGER NOT NULL,
	used INTEGER DEFAULT '0' NOT NULL,
	kind SMALLINT NOT NULL,
	value TEXT NOT NULL,
	CONSTRAINT pk_names PRIMARY KEY (id),
	CONSTRAINT uq_names_kind_value UNIQUE (kind, value)
);
CREATE TABLE pauses (
	flow_run CHAR(32) NOT NULL,
	created INTEGER NOT NULL,
	deadline INTEGER,
	answered INTEGER,
	ended INTEGER,
	attempt SMALLINT NOT NULL,
	suspended BOOLEAN NOT NULL,
	ns TEXT NOT NULL,
	"key" TEXT NOT NULL,
	schema TEXT,
	answer TEXT,
	refusal TEXT,
	CONSTRAINT pk_pauses PRIMARY KEY (flow_run, "key")
);
CREATE INDEX ix_pauses_open_suspensions ON pauses (deadline) WHERE suspended = true AND answered IS NULL AND ended IS NULL;
CREATE TABLE schema_compatibility (
	oldest TEXT NOT NULL,
	CONSTRAINT pk_schema_compatibility PRIMARY KEY (oldest)
);
CREATE TABLE task_run_tags (
	created INTEGER NOT NULL,
	flow_run INTEGER NOT NULL,
	tag INTEGER NOT NULL,
	n INTEGER NOT NULL,
	attempt SMALLINT NOT NULL,
	CONSTRAINT pk_task_run_tags PRIMARY KEY (tag, created, flow_run, attempt, n)
)
 WITHOUT ROWID;
CREATE TABLE task_runs (
	flow_run INTEGER NOT NULL,
	created INTEGER NOT NULL,
	started INTEGER,
	ended INTEGER,
	n INTEGER NOT NULL,
	ns INTEGER NOT NULL,
	task INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	parent INTEGER,
	runs INTEGER NOT NULL,
	attempt SMALLINT NOT NULL,
	state SMALLINT NOT NULL,
	subflow BOOLEAN NOT NULL,
	state_name TEXT,
	name TEXT,
	reason TEXT,
	message TEXT,
	upstream TEXT,
	tags TEXT,
	history TEXT NOT NULL,
	CONSTRAINT pk_task_runs PRIMARY KEY (flow_run, attempt, n)
)
 WITHOUT ROWID;
CREATE INDEX ix_task_runs_created ON task_runs (created);
CREATE INDEX ix_task_runs_named ON task_runs (name) WHERE name IS NOT NULL;
CREATE INDEX ix_task_runs_ns_created ON task_runs (ns, created);
CREATE INDEX ix_task_runs_task_created ON task_runs (task, created);
CREATE INDEX ix_task_runs_unfinished ON task_runs (state, created) WHERE state <> 4;
CREATE TABLE variables (
	ns TEXT NOT NULL,
	name TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	value TEXT NOT NULL,
	tags TEXT NOT NULL,
	CONSTRAINT pk_variables PRIMARY KEY (ns, name)
)
 WITHOUT ROWID;
CREATE TRIGGER flow_run_inserted AFTER INSERT ON flow_runs BEGIN INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) VALUES (max(new.created, 0) / 3600000000, new.ns, COALESCE(new.deployment, 0), new.state, 0, 1), (max(new.created, 0) / 3600000000, new.ns, -1, new.state, 0, 1), (max(new.created, 0) / 3600000000, -1, -1, new.state, 0, 1), (-1 - max(new.created, 0) / 3600000000 / 24, new.ns, COALESCE(new.deployment, 0), new.state, 0, 1) ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = n + excluded.n; INSERT INTO changes (tx, at, object, ns, kind) VALUES (0, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, new.uid, new.ns, 1); END;
CREATE TRIGGER flow_run_counted AFTER UPDATE OF created, ns, deployment, state ON flow_runs WHEN old.created IS NOT new.created OR old.ns IS NOT new.ns OR old.deployment IS NOT new.deployment OR old.state IS NOT new.state BEGIN INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) VALUES (max(old.created, 0) / 3600000000, old.ns, COALESCE(old.deployment, 0), old.state, 0, -1), (max(old.created, 0) / 3600000000, old.ns, -1, old.state, 0, -1), (max(old.created, 0) / 3600000000, -1, -1, old.state, 0, -1), (-1 - max(old.created, 0) / 3600000000 / 24, old.ns, COALESCE(old.deployment, 0), old.state, 0, -1) ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = n + excluded.n; INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) VALUES (max(new.created, 0) / 3600000000, new.ns, COALESCE(new.deployment, 0), new.state, 0, 1), (max(new.created, 0) / 3600000000, new.ns, -1, new.state, 0, 1), (max(new.created, 0) / 3600000000, -1, -1, new.state, 0, 1), (-1 - max(new.created, 0) / 3600000000 / 24, new.ns, COALESCE(new.deployment, 0), new.state, 0, 1) ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = n + excluded.n; END;
CREATE TRIGGER flow_run_changed AFTER UPDATE OF sequence, attempt, reported, reported_attempt, final_attempt, resource_version, deleted, state, state_name ON flow_runs WHEN old.sequence IS NOT new.sequence OR old.attempt IS NOT new.attempt OR old.reported IS NOT new.reported OR old.reported_attempt IS NOT new.reported_attempt OR old.final_attempt IS NOT new.final_attempt OR old.resource_version IS NOT new.resource_version OR old.deleted IS NOT new.deleted OR old.state IS NOT new.state OR old.state_name IS NOT new.state_name BEGIN INSERT INTO changes (tx, at, object, ns, kind) VALUES (0, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, new.uid, new.ns, 1); END;
CREATE TRIGGER flow_run_deleted AFTER DELETE ON flow_runs BEGIN INSERT INTO flow_run_counts (hour, ns, deployment, state, part, n) VALUES (max(old.created, 0) / 3600000000, old.ns, COALESCE(old.deployment, 0), old.state, 0, -1), (max(old.created, 0) / 3600000000, old.ns, -1, old.state, 0, -1), (max(old.created, 0) / 3600000000, -1, -1, old.state, 0, -1), (-1 - max(old.created, 0) / 3600000000 / 24, old.ns, COALESCE(old.deployment, 0), old.state, 0, -1) ON CONFLICT (hour, ns, deployment, state, part) DO UPDATE SET n = n + excluded.n; END;
CREATE TRIGGER flow_deployment_inserted AFTER INSERT ON flow_deployments BEGIN INSERT INTO changes (tx, at, object, ns, kind) VALUES (0, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, new.uid, new.ns, 2); END;
CREATE TRIGGER flow_deployment_changed AFTER UPDATE OF resource_version, deleted ON flow_deployments BEGIN INSERT INTO changes (tx, at, object, ns, kind) VALUES (0, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, new.uid, new.ns, 2); END;
INSERT INTO schema_compatibility (oldest) VALUES ('0010');
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO alembic_version (version_num) VALUES ('0011');

BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE flow_deployments (
	uid CHAR(32) NOT NULL, 
	ns INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	resource_version INTEGER NOT NULL, 
	created INTEGER NOT NULL, 
	deleted INTEGER, 
	generation INTEGER NOT NULL, 
	tags TEXT, 
	spec TEXT NOT NULL, 
	status TEXT NOT NULL, 
	CONSTRAINT pk_flow_deployments PRIMARY KEY (uid)
);
CREATE TABLE flow_run_tags (
	created INTEGER NOT NULL, 
	flow_run INTEGER NOT NULL, 
	tag INTEGER NOT NULL, 
	CONSTRAINT pk_flow_run_tags PRIMARY KEY (tag, created, flow_run)
)
 WITHOUT ROWID

;
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
	CONSTRAINT pk_flow_run_transitions PRIMARY KEY (flow_run, seq)
)
 WITHOUT ROWID

;
CREATE TABLE flow_runs (
	no INTEGER NOT NULL, 
	uid CHAR(32) NOT NULL, 
	created INTEGER NOT NULL, 
	scheduled INTEGER, 
	started INTEGER, 
	ended INTEGER, 
	deleted INTEGER, 
	state_time INTEGER, 
	resource_version INTEGER DEFAULT '0' NOT NULL, 
	ns INTEGER NOT NULL, 
	deployment INTEGER, 
	sequence INTEGER DEFAULT '0' NOT NULL, 
	attempt INTEGER DEFAULT '0' NOT NULL, 
	failures INTEGER DEFAULT '0' NOT NULL, 
	crashes INTEGER DEFAULT '0' NOT NULL, 
	reported_attempt INTEGER DEFAULT '0' NOT NULL, 
	reported INTEGER DEFAULT '0' NOT NULL, 
	final_attempt INTEGER DEFAULT '0' NOT NULL, 
	state SMALLINT NOT NULL, 
	gap BOOLEAN DEFAULT false NOT NULL, 
	history_condition BOOLEAN, 
	name TEXT NOT NULL, 
	state_name TEXT, 
	reason TEXT, 
	message TEXT, 
	pod TEXT, 
	tags TEXT, 
	counts TEXT, 
	parameters TEXT, 
	CONSTRAINT pk_flow_runs PRIMARY KEY (no), 
	CONSTRAINT uq_flow_runs_uid UNIQUE (uid)
);
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
 WITHOUT ROWID

;
CREATE TABLE names (
	id INTEGER NOT NULL, 
	kind SMALLINT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_names PRIMARY KEY (id), 
	CONSTRAINT uq_names_kind_value UNIQUE (kind, value)
);
CREATE TABLE task_run_tags (
	created INTEGER NOT NULL, 
	flow_run INTEGER NOT NULL, 
	tag INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	attempt SMALLINT NOT NULL, 
	CONSTRAINT pk_task_run_tags PRIMARY KEY (tag, created, flow_run, attempt, n)
)
 WITHOUT ROWID

;
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
 WITHOUT ROWID

;
CREATE INDEX ix_flow_deployments_created_uid ON flow_deployments (created, uid);
CREATE INDEX ix_flow_deployments_name_uid ON flow_deployments (name, uid);
CREATE INDEX ix_flow_runs_created_no ON flow_runs (created, no);
CREATE INDEX ix_flow_runs_deployment_created ON flow_runs (deployment, created);
CREATE INDEX ix_flow_runs_live ON flow_runs (ns) WHERE deleted IS NULL;
CREATE INDEX ix_flow_runs_name_ns ON flow_runs (name, ns);
CREATE INDEX ix_flow_runs_ns_created ON flow_runs (ns, created);
CREATE INDEX ix_flow_runs_unfinished ON flow_runs (state, created) WHERE state <> 4;
CREATE INDEX ix_task_runs_created ON task_runs (created);
CREATE INDEX ix_task_runs_named ON task_runs (name) WHERE name IS NOT NULL;
CREATE INDEX ix_task_runs_ns_created ON task_runs (ns, created);
CREATE INDEX ix_task_runs_task_created ON task_runs (task, created);
CREATE INDEX ix_task_runs_unfinished ON task_runs (state, created) WHERE state <> 4;
COMMIT;

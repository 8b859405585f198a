BEGIN TRANSACTION;
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);
INSERT INTO "alembic_version" VALUES('0008');
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
	CONSTRAINT pk_artifacts PRIMARY KEY (id)
);
INSERT INTO "artifacts" VALUES('516b14b5fd774fce84c8de3b1f7791b3',1883331294212789355,1796084684576398,1796084684576398,NULL,1,1,'markdown','old',NULL,'"# old"');
CREATE TABLE concurrency_leases (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	asked INTEGER NOT NULL,
	granted INTEGER,
	expires INTEGER NOT NULL,
	slots INTEGER NOT NULL,
	holder INTEGER,
	flow_run CHAR(32),
	attempt SMALLINT NOT NULL,
	who TEXT NOT NULL,
	CONSTRAINT pk_concurrency_leases PRIMARY KEY (id, name)
)
 WITHOUT ROWID;
CREATE TABLE concurrency_limits (
	name TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	slots INTEGER NOT NULL,
	decay_per_second DOUBLE NOT NULL,
	taken DOUBLE NOT NULL,
	taken_time INTEGER NOT NULL,
	CONSTRAINT pk_concurrency_limits PRIMARY KEY (name)
)
 WITHOUT ROWID;
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
	trail TEXT,
	CONSTRAINT pk_flow_run_transitions PRIMARY KEY (flow_run, seq)
)
 WITHOUT ROWID;
INSERT INTO "flow_run_transitions" VALUES(1883331294212789355,1796084684574719,1,1,NULL,2,2,NULL,NULL,'Accept',NULL,NULL,NULL);
INSERT INTO "flow_run_transitions" VALUES(1883331294212789355,1796084684576018,2,1,2,3,3,NULL,NULL,'Accept',NULL,NULL,NULL);
INSERT INTO "flow_run_transitions" VALUES(1883331294212789355,1796084684576661,3,1,3,4,4,NULL,NULL,'Accept',NULL,NULL,NULL);
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
	flow INTEGER,
	holder INTEGER,
	heard INTEGER,
	CONSTRAINT pk_flow_runs PRIMARY KEY (no),
	CONSTRAINT uq_flow_runs_uid UNIQUE (uid)
);
INSERT INTO "flow_runs" VALUES(1883331294212789355,'647408ee1e3f4ebd957cdd326e429789',1796084684574719,NULL,1796084684576018,1796084684576661,1796084684574719,1796084684576661,0,1,NULL,3,1,0,0,1,1,1,4,0,NULL,'etl-647408ee',NULL,NULL,NULL,NULL,NULL,'{"COMPLETED":2}','{"n":2}',4,848325240358049536,NULL);
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
INSERT INTO "logs" VALUES(1883331294212789355,1796084684576301,0,NULL,3,1,20,'old line');
CREATE TABLE names (
	id INTEGER NOT NULL,
	kind SMALLINT NOT NULL,
	value TEXT NOT NULL,
	CONSTRAINT pk_names PRIMARY KEY (id),
	CONSTRAINT uq_names_kind_value UNIQUE (kind, value)
);
INSERT INTO "names" VALUES(1,1,'local');
INSERT INTO "names" VALUES(2,3,'__main__.double');
INSERT INTO "names" VALUES(3,5,'mintaka.flow_runs');
INSERT INTO "names" VALUES(4,6,'etl');
CREATE TABLE pauses (
	flow_run CHAR(32) NOT NULL,
	created INTEGER NOT NULL,
	deadline INTEGER,
	answered INTEGER,
	ended INTEGER,
	attempt SMALLINT NOT NULL,
	suspended BOOLEAN NOT NULL,
	"key" TEXT NOT NULL,
	schema TEXT,
	answer TEXT,
	refusal TEXT,
	CONSTRAINT pk_pauses PRIMARY KEY (flow_run, "key")
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
INSERT INTO "task_runs" VALUES(1883331294212789355,1796084684576512,1796084684576540,1796084684576570,0,1,2,3,NULL,1,1,4,0,NULL,NULL,NULL,NULL,NULL,NULL,'[[2,0],[3,28],[4,58]]');
INSERT INTO "task_runs" VALUES(1883331294212789355,1796084684576595,1796084684576605,1796084684576617,1,1,2,3,NULL,1,1,4,0,NULL,NULL,NULL,NULL,NULL,NULL,'[[2,0],[3,10],[4,22]]');
CREATE TABLE variables (
	name TEXT NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	value TEXT NOT NULL,
	tags TEXT NOT NULL,
	CONSTRAINT pk_variables PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE INDEX ix_artifacts_created_id ON artifacts (created, id);
CREATE INDEX ix_artifacts_flow_run_created_id ON artifacts (flow_run, created, id);
CREATE INDEX ix_artifacts_key ON artifacts ("key", created, id);
CREATE INDEX ix_concurrency_leases_name_asked ON concurrency_leases (name, asked);
CREATE INDEX ix_flow_deployments_created_uid ON flow_deployments (created, uid);
CREATE INDEX ix_flow_deployments_name_uid ON flow_deployments (name, uid);
CREATE INDEX ix_flow_runs_created_no ON flow_runs (created, no);
CREATE INDEX ix_flow_runs_deployment_created ON flow_runs (deployment, created);
CREATE INDEX ix_flow_runs_live ON flow_runs (ns) WHERE deleted IS NULL;
CREATE INDEX ix_flow_runs_name_ns ON flow_runs (name, ns);
CREATE INDEX ix_flow_runs_ns_created ON flow_runs (ns, created);
CREATE INDEX ix_flow_runs_unfinished ON flow_runs (state, created) WHERE state <> 4;
CREATE INDEX ix_pauses_open_suspensions ON pauses (deadline) WHERE suspended = true AND answered IS NULL AND ended IS NULL;
CREATE INDEX ix_task_runs_created ON task_runs (created);
CREATE INDEX ix_task_runs_named ON task_runs (name) WHERE name IS NOT NULL;
CREATE INDEX ix_task_runs_ns_created ON task_runs (ns, created);
CREATE INDEX ix_task_runs_task_created ON task_runs (task, created);
CREATE INDEX ix_task_runs_unfinished ON task_runs (state, created) WHERE state <> 4;
COMMIT;

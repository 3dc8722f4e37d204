BEGIN TRANSACTION;
CREATE TABLE catalog_state (
	id INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_catalog_state PRIMARY KEY (id), 
	CONSTRAINT ck_catalog_state_one_row CHECK (id = 1)
);
INSERT INTO "catalog_state" VALUES(1,23);
CREATE TABLE catalog_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT catalog_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "catalog_version" VALUES('0003');
CREATE TABLE deployments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workspace_id INTEGER NOT NULL, 
	pipeline_id INTEGER NOT NULL, 
	wanted TEXT NOT NULL, 
	pipeline_version_id INTEGER NOT NULL, 
	config TEXT NOT NULL, 
	generation BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	status_generation BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_deployments_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT fk_deployments_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	CONSTRAINT fk_deployments_pipeline_version_id FOREIGN KEY(pipeline_version_id) REFERENCES pipeline_versions (id), 
	CONSTRAINT uq_deployments_pipeline_id UNIQUE (pipeline_id)
);
INSERT INTO "deployments" VALUES(1,1,1,'running',3,'{"replicas":1,"engine":{"cpus":null,"memory_bytes":null,"gpus":0,"env":{}},"sidekicks":{},"log_inferences":true,"document":{}}',2,'{"state":"Running","generation":1,"serving":"9173d1ed-993a-4c21-957b-a9fe0df71bf6","answered":null,"fault":null,"gateway":"engine-1","workers":[]}',1,'2026-11-29 14:23:14.174259','2026-11-29 14:23:14.211865');
INSERT INTO "deployments" VALUES(2,2,2,'stopped',5,'{"replicas":1,"engine":{"cpus":null,"memory_bytes":null,"gpus":0,"env":{}},"sidekicks":{},"log_inferences":true,"document":{}}',2,'{"state":"Starting","generation":0,"serving":null,"answered":null,"fault":null,"gateway":null,"workers":[]}',0,'2026-11-29 14:23:14.236842','2026-11-29 14:23:14.252331');
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DATETIME NOT NULL, 
	workspace_id INTEGER, 
	subject TEXT NOT NULL, 
	subject_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	text TEXT NOT NULL
);
INSERT INTO "events" VALUES(1,'2026-11-29 14:23:14.333175',1,'version','cdd377f9-338f-4424-8e8c-a4ecabd738a9','ready','ccfraud is ready');
CREATE TABLE model_configs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workspace_id INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	tensor_fields TEXT, 
	batch_config TEXT, 
	input_schema TEXT, 
	output_schema TEXT, 
	max_batch_delay_ms INTEGER, 
	batch_size_target INTEGER, 
	batch_size_limit INTEGER, 
	created_at DATETIME NOT NULL, runtime TEXT, network TEXT, 
	CONSTRAINT fk_model_configs_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT fk_model_configs_version_id FOREIGN KEY(version_id) REFERENCES model_versions (id) ON DELETE CASCADE
);
INSERT INTO "model_configs" VALUES(1,1,1,'["dense_input"]','single',NULL,NULL,NULL,NULL,NULL,'2026-11-29 14:23:14.088007','isolated','none');
INSERT INTO "model_configs" VALUES(2,1,1,NULL,NULL,'//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==',NULL,10,8,16,'2026-11-29 14:23:14.112858',NULL,NULL);
CREATE TABLE model_tags (
	tag_id INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	CONSTRAINT pk_model_tags PRIMARY KEY (tag_id, version_id), 
	CONSTRAINT fk_model_tags_tag_id FOREIGN KEY(tag_id) REFERENCES tags (id) ON DELETE CASCADE, 
	CONSTRAINT fk_model_tags_version_id FOREIGN KEY(version_id) REFERENCES model_versions (id) ON DELETE CASCADE
);
INSERT INTO "model_tags" VALUES(1,1);
CREATE TABLE model_versions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	uuid TEXT NOT NULL, 
	workspace_id INTEGER NOT NULL, 
	model_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	file_name TEXT NOT NULL, 
	sha TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	framework TEXT NOT NULL, 
	arch TEXT NOT NULL, 
	accel TEXT NOT NULL, 
	visibility TEXT NOT NULL, 
	settings TEXT NOT NULL, 
	status TEXT NOT NULL, 
	fault TEXT, 
	loaded TEXT, 
	created_by TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_model_versions_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT fk_model_versions_model_id FOREIGN KEY(model_id) REFERENCES models (id) ON DELETE CASCADE, 
	CONSTRAINT uq_model_versions_uuid UNIQUE (uuid), 
	CONSTRAINT uq_model_versions_model_id_number UNIQUE (model_id, number)
);
INSERT INTO "model_versions" VALUES(1,'cdd377f9-338f-4424-8e8c-a4ecabd738a9',1,1,1,'ccfraud.onnx','ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',171121,'onnx','x86','none','private','{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":["tensor"],"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]}','ready',NULL,'{"runtime":"native","not_harmless":null,"bounds":null,"native_fault":null,"onnx":null,"adapter":"onnx","model_file":"ccfraud.onnx","entry":{},"files":{},"converted":null,"settings":{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]},"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"/////7AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAAyP///wAAARAUAAAAJAAAAAQAAAABAAAAMAAAAAcAAABkZW5zZV8xAAAABgAIAAQABgAAAAEAAAAQABQACAAGAAcADAAAABAAEAAAAAAAAQMQAAAAHAAAAAQAAAAAAAAABAAAAGl0ZW0AAAYACAAGAAYAAAAAAAEAAAAAAA==","answered":false,"refusal":null,"independence":null,"protections":null,"environment":null,"requirements":[],"packages":[],"python_version":null,"notes":[]}','somebody','2026-11-29 14:23:13.882646','2026-11-29 14:23:13.972830');
INSERT INTO "model_versions" VALUES(2,'71c3a5e6-f00d-479b-a206-74719ac23053',1,2,1,'clean step.zip','3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d',8589934592,'python','x86','none','private','{"name":null,"framework":null,"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[{"tensor":[1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5]}],"tests":[]}','ready',NULL,'{"runtime":"isolated","not_harmless":null,"bounds":null,"native_fault":null,"onnx":null,"adapter":"python","model_file":null,"entry":{"function":{"file":"clean.py","name":"process_data","line":7}},"files":{},"converted":null,"settings":{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]},"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","answered":false,"refusal":null,"independence":null,"protections":null,"environment":"ba5285161ba6eed0085fb13784ce5c92f70ebc268b94fd66aa1d68a32884204d","requirements":["numpy==1.26.4"],"packages":[],"python_version":"3.11","notes":["a note"]}','somebody','2026-11-29 14:23:14.000076','2026-11-29 14:23:14.019180');
INSERT INTO "model_versions" VALUES(3,'66bc9e0f-db66-4b14-af89-c563baf72bdb',2,3,1,'broken.zip','2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6',12,'custom','x86','none','private','{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]}','error','{"error":"BadPackage","what":"no","why":"because","fix":"mend it","path":"a.py:3","reason":"bad"}',NULL,'somebody','2026-11-29 14:23:14.027946','2026-11-29 14:23:14.054404');
CREATE TABLE models (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workspace_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_models_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT uq_models_workspace_id_name UNIQUE (workspace_id, name)
);
INSERT INTO "models" VALUES(1,1,'ccfraud','2026-11-29 14:23:13.882646','2026-11-29 14:23:13.882646');
INSERT INTO "models" VALUES(2,1,'clean','2026-11-29 14:23:14.000076','2026-11-29 14:23:14.000076');
INSERT INTO "models" VALUES(3,2,'broken','2026-11-29 14:23:14.027946','2026-11-29 14:23:14.027946');
CREATE TABLE pipeline_tags (
	tag_id INTEGER NOT NULL, 
	pipeline_id INTEGER NOT NULL, 
	CONSTRAINT pk_pipeline_tags PRIMARY KEY (tag_id, pipeline_id), 
	CONSTRAINT fk_pipeline_tags_tag_id FOREIGN KEY(tag_id) REFERENCES tags (id) ON DELETE CASCADE, 
	CONSTRAINT fk_pipeline_tags_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id) ON DELETE CASCADE
);
INSERT INTO "pipeline_tags" VALUES(1,1);
CREATE TABLE pipeline_versions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	uuid TEXT NOT NULL, 
	workspace_id INTEGER NOT NULL, 
	pipeline_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	steps TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT fk_pipeline_versions_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT fk_pipeline_versions_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id), 
	CONSTRAINT uq_pipeline_versions_uuid UNIQUE (uuid), 
	CONSTRAINT uq_pipeline_versions_pipeline_id_number UNIQUE (pipeline_id, number)
);
INSERT INTO "pipeline_versions" VALUES(1,'d7535bdd-6955-498e-9293-067a0558c071',1,1,1,'[]','2026-11-29 14:23:14.144019');
INSERT INTO "pipeline_versions" VALUES(2,'9173d1ed-993a-4c21-957b-a9fe0df71bf6',1,1,2,'[{"step":"model","name":"clean","version":"71c3a5e6-f00d-479b-a206-74719ac23053","sha":"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","config_id":null},{"step":"model","name":"ccfraud","version":"cdd377f9-338f-4424-8e8c-a4ecabd738a9","sha":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","config_id":2},{"step":"check","validations":[{"name":"fraud","expression":"{\"Alias\":[{\"Column\":\"out.dense_1\"},\"fraud\"]}"}]}]','2026-11-29 14:23:14.174259');
INSERT INTO "pipeline_versions" VALUES(3,'9ebc28c1-a77d-4813-bf5a-7246f2554771',1,1,3,'[{"step":"model","name":"ccfraud","version":"cdd377f9-338f-4424-8e8c-a4ecabd738a9","sha":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","config_id":2},{"step":"check","validations":[{"name":"fraud","expression":"{\"Alias\":[{\"Column\":\"out.dense_1\"},\"fraud\"]}"}]}]','2026-11-29 14:23:14.211865');
INSERT INTO "pipeline_versions" VALUES(4,'833ba2d1-be8b-4790-a9ca-01d27212ed3a',2,2,1,'[]','2026-11-29 14:23:14.225042');
INSERT INTO "pipeline_versions" VALUES(5,'1f6c8cdb-fa8c-449e-94f3-47484211280a',2,2,2,'[]','2026-11-29 14:23:14.236842');
INSERT INTO "pipeline_versions" VALUES(6,'a50bbe4e-0dd7-4e61-9948-6351fd1121cd',2,3,1,'[]','2026-11-29 14:23:14.276737');
CREATE TABLE pipelines (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	workspace_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT fk_pipelines_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id), 
	CONSTRAINT uq_pipelines_workspace_id_name UNIQUE (workspace_id, name)
);
INSERT INTO "pipelines" VALUES(1,1,'ccfraud','2026-11-29 14:23:14.144019','2026-11-29 14:23:14.211865');
INSERT INTO "pipelines" VALUES(2,2,'stopped','2026-11-29 14:23:14.225042','2026-11-29 14:23:14.252331');
INSERT INTO "pipelines" VALUES(3,2,'never-deployed','2026-11-29 14:23:14.276737','2026-11-29 14:23:14.276737');
CREATE TABLE tags (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tag TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT uq_tags_tag UNIQUE (tag)
);
INSERT INTO "tags" VALUES(1,'of the bank','2026-11-29 14:23:14.289330');
CREATE TABLE upload_log (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	version_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	level TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT fk_upload_log_version_id FOREIGN KEY(version_id) REFERENCES model_versions (id) ON DELETE CASCADE
);
INSERT INTO "upload_log" VALUES(1,3,'2026-11-29 14:23:14.072580','error','load','it''s no model;
second line');
CREATE TABLE workspaces (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name TEXT NOT NULL, 
	archived BOOLEAN NOT NULL, 
	created_by TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT uq_workspaces_name UNIQUE (name)
);
INSERT INTO "workspaces" VALUES(1,'default',0,'trivet','2026-11-29 14:23:13.778444');
INSERT INTO "workspaces" VALUES(2,'team-ä',0,'somebody','2026-11-29 14:23:13.841926');
CREATE INDEX ix_model_versions_sha ON model_versions (sha);
CREATE INDEX ix_model_versions_status ON model_versions (status);
CREATE INDEX ix_model_configs_version_id ON model_configs (version_id);
CREATE INDEX ix_upload_log_version_id ON upload_log (version_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('workspaces',2);
INSERT INTO "sqlite_sequence" VALUES('models',3);
INSERT INTO "sqlite_sequence" VALUES('model_versions',3);
INSERT INTO "sqlite_sequence" VALUES('upload_log',1);
INSERT INTO "sqlite_sequence" VALUES('model_configs',2);
INSERT INTO "sqlite_sequence" VALUES('pipelines',3);
INSERT INTO "sqlite_sequence" VALUES('pipeline_versions',6);
INSERT INTO "sqlite_sequence" VALUES('deployments',2);
INSERT INTO "sqlite_sequence" VALUES('tags',1);
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;

--
-- PostgreSQL database dump
--

-- Dumped from database version 16.2
-- Dumped by pg_dump version 16.2

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: catalog_state; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.catalog_state (
    id integer NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT ck_catalog_state_one_row CHECK ((id = 1))
);


--
-- Name: catalog_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.catalog_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: deployments; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deployments (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    pipeline_id bigint NOT NULL,
    wanted text NOT NULL,
    pipeline_version_id bigint NOT NULL,
    config text NOT NULL,
    generation bigint NOT NULL,
    status text NOT NULL,
    status_generation bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);


--
-- Name: deployments_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.deployments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: deployments_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.deployments_id_seq OWNED BY public.deployments.id;


--
-- Name: events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.events (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    workspace_id bigint,
    subject text NOT NULL,
    subject_id text NOT NULL,
    kind text NOT NULL,
    text text NOT NULL
);


--
-- Name: events_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: events_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;


--
-- Name: model_configs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.model_configs (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    version_id bigint NOT NULL,
    tensor_fields text,
    batch_config text,
    input_schema text,
    output_schema text,
    max_batch_delay_ms integer,
    batch_size_target integer,
    batch_size_limit integer,
    created_at timestamp with time zone NOT NULL,
    runtime text,
    network text
);


--
-- Name: model_configs_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.model_configs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: model_configs_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.model_configs_id_seq OWNED BY public.model_configs.id;


--
-- Name: model_tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.model_tags (
    tag_id bigint NOT NULL,
    version_id bigint NOT NULL
);


--
-- Name: model_versions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.model_versions (
    id bigint NOT NULL,
    uuid text NOT NULL,
    workspace_id bigint NOT NULL,
    model_id bigint NOT NULL,
    number integer NOT NULL,
    file_name text NOT NULL,
    sha text NOT NULL,
    size bigint NOT NULL,
    framework text NOT NULL,
    arch text NOT NULL,
    accel text NOT NULL,
    visibility text NOT NULL,
    settings text NOT NULL,
    status text NOT NULL,
    fault text,
    loaded text,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);


--
-- Name: model_versions_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.model_versions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: model_versions_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.model_versions_id_seq OWNED BY public.model_versions.id;


--
-- Name: models; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.models (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);


--
-- Name: models_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.models_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: models_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.models_id_seq OWNED BY public.models.id;


--
-- Name: pipeline_tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_tags (
    tag_id bigint NOT NULL,
    pipeline_id bigint NOT NULL
);


--
-- Name: pipeline_versions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_versions (
    id bigint NOT NULL,
    uuid text NOT NULL,
    workspace_id bigint NOT NULL,
    pipeline_id bigint NOT NULL,
    number integer NOT NULL,
    steps text NOT NULL,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: pipeline_versions_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.pipeline_versions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: pipeline_versions_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.pipeline_versions_id_seq OWNED BY public.pipeline_versions.id;


--
-- Name: pipelines; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipelines (
    id bigint NOT NULL,
    workspace_id bigint NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
);


--
-- Name: pipelines_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.pipelines_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: pipelines_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.pipelines_id_seq OWNED BY public.pipelines.id;


--
-- Name: tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tags (
    id bigint NOT NULL,
    tag text NOT NULL,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: tags_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: tags_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.tags_id_seq OWNED BY public.tags.id;


--
-- Name: upload_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.upload_log (
    id bigint NOT NULL,
    version_id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    level text NOT NULL,
    stage text NOT NULL,
    text text NOT NULL
);


--
-- Name: upload_log_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.upload_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: upload_log_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.upload_log_id_seq OWNED BY public.upload_log.id;


--
-- Name: workspaces; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.workspaces (
    id bigint NOT NULL,
    name text NOT NULL,
    archived boolean NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: workspaces_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.workspaces_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: workspaces_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.workspaces_id_seq OWNED BY public.workspaces.id;


--
-- Name: deployments id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments ALTER COLUMN id SET DEFAULT nextval('public.deployments_id_seq'::regclass);


--
-- Name: events id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);


--
-- Name: model_configs id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_configs ALTER COLUMN id SET DEFAULT nextval('public.model_configs_id_seq'::regclass);


--
-- Name: model_versions id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions ALTER COLUMN id SET DEFAULT nextval('public.model_versions_id_seq'::regclass);


--
-- Name: models id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.models ALTER COLUMN id SET DEFAULT nextval('public.models_id_seq'::regclass);


--
-- Name: pipeline_versions id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions ALTER COLUMN id SET DEFAULT nextval('public.pipeline_versions_id_seq'::regclass);


--
-- Name: pipelines id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipelines ALTER COLUMN id SET DEFAULT nextval('public.pipelines_id_seq'::regclass);


--
-- Name: tags id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tags ALTER COLUMN id SET DEFAULT nextval('public.tags_id_seq'::regclass);


--
-- Name: upload_log id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.upload_log ALTER COLUMN id SET DEFAULT nextval('public.upload_log_id_seq'::regclass);


--
-- Name: workspaces id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workspaces ALTER COLUMN id SET DEFAULT nextval('public.workspaces_id_seq'::regclass);


--
-- Data for Name: catalog_state; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.catalog_state VALUES (1, 23);


--
-- Data for Name: catalog_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.catalog_version VALUES ('0003');


--
-- Data for Name: deployments; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.deployments VALUES (1, 1, 1, 'running', 3, '{"replicas":1,"engine":{"cpus":null,"memory_bytes":null,"gpus":0,"env":{}},"sidekicks":{},"log_inferences":true,"document":{}}', 2, '{"state":"Running","generation":1,"serving":"5fc375ee-a43a-4c43-b799-134e31b68ade","answered":null,"fault":null,"gateway":"engine-1","workers":[]}', 1, '2026-11-29 14:23:15.230352+00', '2026-11-29 14:23:15.240014+00');
INSERT INTO public.deployments VALUES (2, 2, 2, 'stopped', 5, '{"replicas":1,"engine":{"cpus":null,"memory_bytes":null,"gpus":0,"env":{}},"sidekicks":{},"log_inferences":true,"document":{}}', 2, '{"state":"Starting","generation":0,"serving":null,"answered":null,"fault":null,"gateway":null,"workers":[]}', 0, '2026-11-29 14:23:15.250085+00', '2026-11-29 14:23:15.259059+00');


--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.events VALUES (1, '2026-11-29 14:23:15.31889+00', 1, 'version', '6baaa7dd-1620-49ae-baa2-f1ee369f2ece', 'ready', 'ccfraud is ready');


--
-- Data for Name: model_configs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.model_configs VALUES (1, 1, 1, '["dense_input"]', 'single', NULL, NULL, NULL, NULL, NULL, '2026-11-29 14:23:15.160733+00', 'isolated', 'none');
INSERT INTO public.model_configs VALUES (2, 1, 1, NULL, NULL, '//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==', NULL, 10, 8, 16, '2026-11-29 14:23:15.194157+00', NULL, NULL);


--
-- Data for Name: model_tags; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.model_tags VALUES (1, 1);


--
-- Data for Name: model_versions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.model_versions VALUES (1, '6baaa7dd-1620-49ae-baa2-f1ee369f2ece', 1, 1, 1, 'ccfraud.onnx', 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 171121, 'onnx', 'x86', 'none', 'private', '{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":["tensor"],"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]}', 'ready', NULL, '{"runtime":"native","not_harmless":null,"bounds":null,"native_fault":null,"onnx":null,"adapter":"onnx","model_file":"ccfraud.onnx","entry":{},"files":{},"converted":null,"settings":{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]},"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"/////7AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAEAAAAyP///wAAARAUAAAAJAAAAAQAAAABAAAAMAAAAAcAAABkZW5zZV8xAAAABgAIAAQABgAAAAEAAAAQABQACAAGAAcADAAAABAAEAAAAAAAAQMQAAAAHAAAAAQAAAAAAAAABAAAAGl0ZW0AAAYACAAGAAYAAAAAAAEAAAAAAA==","answered":false,"refusal":null,"independence":null,"protections":null,"environment":null,"requirements":[],"packages":[],"python_version":null,"notes":[]}', 'somebody', '2026-11-29 14:23:15.078274+00', '2026-11-29 14:23:15.118825+00');
INSERT INTO public.model_versions VALUES (2, 'ed534d57-9e10-45f5-8b37-054eb51b0f00', 1, 2, 1, 'clean step.zip', '3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d', 8589934592, 'python', 'x86', 'none', 'private', '{"name":null,"framework":null,"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[{"tensor":[1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5,1.5]}],"tests":[]}', 'ready', NULL, '{"runtime":"isolated","not_harmless":null,"bounds":null,"native_fault":null,"onnx":null,"adapter":"python","model_file":null,"entry":{"function":{"file":"clean.py","name":"process_data","line":7}},"files":{},"converted":null,"settings":{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]},"input_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","output_schema":"//////gAAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAADwAAAAEAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAYAAAABAAAAAkAAABhIHJlbGVhc2UAAAACAAAAYnkAAAEAAAAUAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAAQFAAAACQAAAAEAAAAAQAAADAAAAAGAAAAdGVuc29yAAAAAAYACAAEAAYAAAAdAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQAAABpdGVtAAAGAAgABgAGAAAAAAABAA==","answered":false,"refusal":null,"independence":null,"protections":null,"environment":"ba5285161ba6eed0085fb13784ce5c92f70ebc268b94fd66aa1d68a32884204d","requirements":["numpy==1.26.4"],"packages":[],"python_version":"3.11","notes":["a note"]}', 'somebody', '2026-11-29 14:23:15.122805+00', '2026-11-29 14:23:15.136275+00');
INSERT INTO public.model_versions VALUES (3, 'a75ae295-2e39-4fdb-8fae-e9811bb52144', 2, 3, 1, 'broken.zip', '2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6', 12, 'custom', 'x86', 'none', 'private', '{"name":null,"framework":null,"input_schema":null,"output_schema":null,"suggested_schema":null,"tensor_fields":null,"batch_config":null,"runtime":null,"network":null,"python":null,"workers":null,"timeout_s":null,"memory_bytes":null,"open_files":null,"example":[],"tests":[]}', 'error', '{"error":"BadPackage","what":"no","why":"because","fix":"mend it","path":"a.py:3","reason":"bad"}', NULL, 'somebody', '2026-11-29 14:23:15.1402+00', '2026-11-29 14:23:15.149991+00');


--
-- Data for Name: models; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.models VALUES (1, 1, 'ccfraud', '2026-11-29 14:23:15.078274+00', '2026-11-29 14:23:15.078274+00');
INSERT INTO public.models VALUES (2, 1, 'clean', '2026-11-29 14:23:15.122805+00', '2026-11-29 14:23:15.122805+00');
INSERT INTO public.models VALUES (3, 2, 'broken', '2026-11-29 14:23:15.1402+00', '2026-11-29 14:23:15.1402+00');


--
-- Data for Name: pipeline_tags; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.pipeline_tags VALUES (1, 1);


--
-- Data for Name: pipeline_versions; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.pipeline_versions VALUES (1, '0be4dc98-527b-493e-bb0d-b03f5e7225f1', 1, 1, 1, '[]', '2026-11-29 14:23:15.197559+00');
INSERT INTO public.pipeline_versions VALUES (2, '5fc375ee-a43a-4c43-b799-134e31b68ade', 1, 1, 2, '[{"step":"model","name":"clean","version":"ed534d57-9e10-45f5-8b37-054eb51b0f00","sha":"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","config_id":null},{"step":"model","name":"ccfraud","version":"6baaa7dd-1620-49ae-baa2-f1ee369f2ece","sha":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","config_id":2},{"step":"check","validations":[{"name":"fraud","expression":"{\"Alias\":[{\"Column\":\"out.dense_1\"},\"fraud\"]}"}]}]', '2026-11-29 14:23:15.230352+00');
INSERT INTO public.pipeline_versions VALUES (3, 'bdd900a9-04fe-4a3e-b32f-397f241b6c57', 1, 1, 3, '[{"step":"model","name":"ccfraud","version":"6baaa7dd-1620-49ae-baa2-f1ee369f2ece","sha":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","config_id":2},{"step":"check","validations":[{"name":"fraud","expression":"{\"Alias\":[{\"Column\":\"out.dense_1\"},\"fraud\"]}"}]}]', '2026-11-29 14:23:15.240014+00');
INSERT INTO public.pipeline_versions VALUES (4, 'da76a723-15ce-43fb-88b3-3fad5533cdbd', 2, 2, 1, '[]', '2026-11-29 14:23:15.246077+00');
INSERT INTO public.pipeline_versions VALUES (5, '35dbc4b1-30f1-4a37-b048-1475d1ed7272', 2, 2, 2, '[]', '2026-11-29 14:23:15.250085+00');
INSERT INTO public.pipeline_versions VALUES (6, '4bf256c2-f3c2-49de-a2f3-47dc708bcfb5', 2, 3, 1, '[]', '2026-11-29 14:23:15.300338+00');


--
-- Data for Name: pipelines; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.pipelines VALUES (1, 1, 'ccfraud', '2026-11-29 14:23:15.197559+00', '2026-11-29 14:23:15.240014+00');
INSERT INTO public.pipelines VALUES (2, 2, 'stopped', '2026-11-29 14:23:15.246077+00', '2026-11-29 14:23:15.259059+00');
INSERT INTO public.pipelines VALUES (3, 2, 'never-deployed', '2026-11-29 14:23:15.300338+00', '2026-11-29 14:23:15.300338+00');


--
-- Data for Name: tags; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tags VALUES (1, 'of the bank', '2026-11-29 14:23:15.308305+00');


--
-- Data for Name: upload_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.upload_log VALUES (1, 3, '2026-11-29 14:23:15.156037+00', 'error', 'load', 'it''s no model;
second line');


--
-- Data for Name: workspaces; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.workspaces VALUES (1, 'default', false, 'trivet', '2026-11-29 14:23:14.988902+00');
INSERT INTO public.workspaces VALUES (2, 'team-ä', false, 'somebody', '2026-11-29 14:23:15.033523+00');


--
-- Name: deployments_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.deployments_id_seq', 2, true);


--
-- Name: events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.events_id_seq', 1, true);


--
-- Name: model_configs_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.model_configs_id_seq', 2, true);


--
-- Name: model_versions_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.model_versions_id_seq', 3, true);


--
-- Name: models_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.models_id_seq', 3, true);


--
-- Name: pipeline_versions_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.pipeline_versions_id_seq', 6, true);


--
-- Name: pipelines_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.pipelines_id_seq', 3, true);


--
-- Name: tags_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.tags_id_seq', 1, true);


--
-- Name: upload_log_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.upload_log_id_seq', 1, true);


--
-- Name: workspaces_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.workspaces_id_seq', 2, true);


--
-- Name: catalog_version catalog_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.catalog_version
    ADD CONSTRAINT catalog_version_pkc PRIMARY KEY (version_num);


--
-- Name: catalog_state pk_catalog_state; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.catalog_state
    ADD CONSTRAINT pk_catalog_state PRIMARY KEY (id);


--
-- Name: deployments pk_deployments; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT pk_deployments PRIMARY KEY (id);


--
-- Name: events pk_events; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.events
    ADD CONSTRAINT pk_events PRIMARY KEY (id);


--
-- Name: model_configs pk_model_configs; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_configs
    ADD CONSTRAINT pk_model_configs PRIMARY KEY (id);


--
-- Name: model_tags pk_model_tags; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_tags
    ADD CONSTRAINT pk_model_tags PRIMARY KEY (tag_id, version_id);


--
-- Name: model_versions pk_model_versions; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT pk_model_versions PRIMARY KEY (id);


--
-- Name: models pk_models; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.models
    ADD CONSTRAINT pk_models PRIMARY KEY (id);


--
-- Name: pipeline_tags pk_pipeline_tags; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_tags
    ADD CONSTRAINT pk_pipeline_tags PRIMARY KEY (tag_id, pipeline_id);


--
-- Name: pipeline_versions pk_pipeline_versions; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions
    ADD CONSTRAINT pk_pipeline_versions PRIMARY KEY (id);


--
-- Name: pipelines pk_pipelines; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipelines
    ADD CONSTRAINT pk_pipelines PRIMARY KEY (id);


--
-- Name: tags pk_tags; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT pk_tags PRIMARY KEY (id);


--
-- Name: upload_log pk_upload_log; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.upload_log
    ADD CONSTRAINT pk_upload_log PRIMARY KEY (id);


--
-- Name: workspaces pk_workspaces; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT pk_workspaces PRIMARY KEY (id);


--
-- Name: deployments uq_deployments_pipeline_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT uq_deployments_pipeline_id UNIQUE (pipeline_id);


--
-- Name: model_versions uq_model_versions_model_id_number; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT uq_model_versions_model_id_number UNIQUE (model_id, number);


--
-- Name: model_versions uq_model_versions_uuid; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT uq_model_versions_uuid UNIQUE (uuid);


--
-- Name: models uq_models_workspace_id_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.models
    ADD CONSTRAINT uq_models_workspace_id_name UNIQUE (workspace_id, name);


--
-- Name: pipeline_versions uq_pipeline_versions_pipeline_id_number; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions
    ADD CONSTRAINT uq_pipeline_versions_pipeline_id_number UNIQUE (pipeline_id, number);


--
-- Name: pipeline_versions uq_pipeline_versions_uuid; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions
    ADD CONSTRAINT uq_pipeline_versions_uuid UNIQUE (uuid);


--
-- Name: pipelines uq_pipelines_workspace_id_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipelines
    ADD CONSTRAINT uq_pipelines_workspace_id_name UNIQUE (workspace_id, name);


--
-- Name: tags uq_tags_tag; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tags
    ADD CONSTRAINT uq_tags_tag UNIQUE (tag);


--
-- Name: workspaces uq_workspaces_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT uq_workspaces_name UNIQUE (name);


--
-- Name: ix_model_configs_version_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_model_configs_version_id ON public.model_configs USING btree (version_id);


--
-- Name: ix_model_versions_sha; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_model_versions_sha ON public.model_versions USING btree (sha);


--
-- Name: ix_model_versions_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_model_versions_status ON public.model_versions USING btree (status);


--
-- Name: ix_upload_log_version_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_upload_log_version_id ON public.upload_log USING btree (version_id);


--
-- Name: deployments fk_deployments_pipeline_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT fk_deployments_pipeline_id FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);


--
-- Name: deployments fk_deployments_pipeline_version_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT fk_deployments_pipeline_version_id FOREIGN KEY (pipeline_version_id) REFERENCES public.pipeline_versions(id);


--
-- Name: deployments fk_deployments_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deployments
    ADD CONSTRAINT fk_deployments_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: model_configs fk_model_configs_version_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_configs
    ADD CONSTRAINT fk_model_configs_version_id FOREIGN KEY (version_id) REFERENCES public.model_versions(id) ON DELETE CASCADE;


--
-- Name: model_configs fk_model_configs_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_configs
    ADD CONSTRAINT fk_model_configs_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: model_tags fk_model_tags_tag_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_tags
    ADD CONSTRAINT fk_model_tags_tag_id FOREIGN KEY (tag_id) REFERENCES public.tags(id) ON DELETE CASCADE;


--
-- Name: model_tags fk_model_tags_version_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_tags
    ADD CONSTRAINT fk_model_tags_version_id FOREIGN KEY (version_id) REFERENCES public.model_versions(id) ON DELETE CASCADE;


--
-- Name: model_versions fk_model_versions_model_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT fk_model_versions_model_id FOREIGN KEY (model_id) REFERENCES public.models(id) ON DELETE CASCADE;


--
-- Name: model_versions fk_model_versions_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model_versions
    ADD CONSTRAINT fk_model_versions_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: models fk_models_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.models
    ADD CONSTRAINT fk_models_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: pipeline_tags fk_pipeline_tags_pipeline_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_tags
    ADD CONSTRAINT fk_pipeline_tags_pipeline_id FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id) ON DELETE CASCADE;


--
-- Name: pipeline_tags fk_pipeline_tags_tag_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_tags
    ADD CONSTRAINT fk_pipeline_tags_tag_id FOREIGN KEY (tag_id) REFERENCES public.tags(id) ON DELETE CASCADE;


--
-- Name: pipeline_versions fk_pipeline_versions_pipeline_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions
    ADD CONSTRAINT fk_pipeline_versions_pipeline_id FOREIGN KEY (pipeline_id) REFERENCES public.pipelines(id);


--
-- Name: pipeline_versions fk_pipeline_versions_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_versions
    ADD CONSTRAINT fk_pipeline_versions_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: pipelines fk_pipelines_workspace_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipelines
    ADD CONSTRAINT fk_pipelines_workspace_id FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id);


--
-- Name: upload_log fk_upload_log_version_id; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.upload_log
    ADD CONSTRAINT fk_upload_log_version_id FOREIGN KEY (version_id) REFERENCES public.model_versions(id) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--


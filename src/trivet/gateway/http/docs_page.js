"use strict";

/* The forms of /docs: a row, or a file of rows, goes to the pipeline, and its answer is shown as text. Numbers are kept as they were
   typed, because a double does not hold every int64. */
const forms = (() => {
  const SHOWN = 20000;
  const INDENTED = 400000;
  const NEEDED = {
    integer: "a whole number",
    number: "a number",
    boolean: "true or false",
    json: "JSON",
  };

  function short(text) {
    return text.length > 40 ? `${text.slice(0, 40)}…` : text;
  }

  /* The JSON text of a value that was typed or is in a cell. */
  function jsonOf(kind, text) {
    const value = text.trim();
    const lower = value.toLowerCase();
    if (kind === "integer" && /^[+-]?\d+(\.0*)?$/.test(value)) {
      return BigInt(value.replace("+", "").replace(/\..*/, "")).toString();
    }
    if (kind === "number" && value !== "" && Number.isFinite(Number(value))) {
      return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(value) ? value : String(Number(value));
    }
    if (kind === "boolean" && (lower === "true" || lower === "false")) {
      return lower;
    }
    if (kind === "json" && isJson(value)) {
      return value;
    }
    if (kind === "time" && /^-?\d+$/.test(value)) {
      return value;
    }
    if (kind === "text" || kind === "time") {
      return JSON.stringify(text);
    }
    throw new Error(`${JSON.stringify(short(text))} is not ${NEEDED[kind]}`);
  }

  function isJson(text) {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  }

  /* The rows of cells of a CSV text, as RFC 4180 has them. */
  function cellsOf(text) {
    const rows = [];
    let row = [];
    let cell = "";
    let quoted = false;
    const end = () => {
      row.push(cell);
      cell = "";
    };
    for (let at = text.charCodeAt(0) === 0xfeff ? 1 : 0; at < text.length; at++) {
      const mark = text[at];
      if (quoted) {
        if (mark !== '"') {
          cell += mark;
        } else if (text[at + 1] === '"') {
          cell += mark;
          at++;
        } else {
          quoted = false;
        }
      } else if (mark === '"' && cell === "") {
        quoted = true;
      } else if (mark === ",") {
        end();
      } else if (mark === "\n") {
        end();
        rows.push(row);
        row = [];
      } else if (mark !== "\r" || text[at + 1] !== "\n") {
        cell += mark;
      }
    }
    if (quoted) {
      throw new Error("a quote of the file is not closed");
    }
    if (cell !== "" || row.length) {
      end();
      rows.push(row);
    }
    return rows.filter((cells) => cells.length > 1 || cells[0] !== "");
  }

  /* Records of a CSV text. A column that the model does not know is text; an empty cell of a nullable column is null. */
  function recordsOfCsv(text, fields) {
    const [names, ...rows] = cellsOf(text);
    if (names === undefined || !rows.length) {
      throw new Error("the file has no rows below a row of names");
    }
    const known = new Map(fields.map((field) => [field.name, field]));
    const records = rows.map((cells, row) => {
      if (cells.length !== names.length) {
        throw new Error(`row ${row + 1} has ${cells.length} cells, and the row of names has ${names.length}`);
      }
      const members = cells.map((cell, column) => {
        const field = known.get(names[column]) ?? { kind: "text", nullable: false };
        const name = JSON.stringify(names[column]);
        if (cell === "" && field.nullable) {
          return `${name}:null`;
        }
        try {
          return `${name}:${jsonOf(field.kind, cell)}`;
        } catch (error) {
          throw new Error(`row ${row + 1}, column ${names[column]}: ${error.message}`);
        }
      });
      return `{${members.join(",")}}`;
    });
    return `[${records.join(",")}]`;
  }

  /* JSON text with a member a line, and lists of plain values on one line; its numbers are untouched. */
  function indented(text) {
    const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g) ?? [];
    let out = "";
    let depth = 0;
    let inline = 0;
    const line = () => `\n${"  ".repeat(depth)}`;
    tokens.forEach((token, at) => {
      const next = tokens[at + 1];
      if (token === "{" || token === "[") {
        if (inline || next === "}" || next === "]" || (token === "[" && next !== "{" && next !== "[")) {
          inline++;
          out += token;
        } else {
          depth++;
          out += token + line();
        }
      } else if (token === "}" || token === "]") {
        if (inline) {
          inline--;
          out += token;
        } else {
          depth--;
          out += line() + token;
        }
      } else if (token === ",") {
        out += inline ? ", " : token + line();
      } else {
        out += token === ":" ? ": " : token;
      }
    });
    return out;
  }

  /* What to send for a file: its content and its type. */
  async function bodyOf(file, fields) {
    const start = new Uint8Array(await file.slice(0, 6).arrayBuffer());
    const magic = String.fromCharCode(...start);
    const name = file.name.toLowerCase();
    if (magic.startsWith("PAR1")) {
      throw new Error("Parquet files are not taken here; save the rows as .arrow, .csv or .json");
    }
    if (magic === "ARROW1") {
      return [file, "application/vnd.apache.arrow.file"];
    }
    if (name.endsWith(".arrows") || name.endsWith(".arrow") || start[0] === 0xff) {
      return [file, "application/vnd.apache.arrow.stream"];
    }
    const text = await file.text();
    if (name.endsWith(".csv")) {
      return [recordsOfCsv(text, fields), "application/json"];
    }
    if (!isJson(text.replace(/^\ufeff/, ""))) {
      throw new Error(`${file.name} is neither JSON nor Arrow, and its name does not end in .csv`);
    }
    return [text.replace(/^\ufeff/, ""), "application/json"];
  }

  return { bodyOf, cellsOf, indented, jsonOf, recordsOfCsv, INDENTED, SHOWN };
})();

const start = () => {
  /* The token is read from its field with each request, and kept nowhere else. */
  function headers(more) {
    const token = document.getElementById("token")?.value.trim();
    return token ? { ...more, authorization: `Bearer ${token}` } : more;
  }

  function add(parent, tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function say(output, kind, text) {
    output.replaceChildren();
    add(output, "p", text).className = kind;
  }

  function shown(output, reply, text, ms) {
    say(output, reply.ok ? "good" : "bad", `${reply.status} in ${ms} ms`);
    if (!reply.ok) {
      try {
        const { error, fix } = JSON.parse(text);
        add(output, "p", fix ? `${error}; to fix: ${fix}` : error).className = "bad";
      } catch {
        /* Another server's error: its text is shown below. */
      }
    }
    const whole = text.length > forms.INDENTED ? text : forms.indented(text);
    add(output, "pre", whole.length > forms.SHOWN ? `${whole.slice(0, forms.SHOWN)}\n…` : whole);
    if (reply.ok) {
      const link = add(output, "a", "Save the answer");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      link.download = "answer.json";
    }
  }

  async function ask(form, made) {
    const output = form.querySelector(".answer");
    try {
      const [body, type] = await made();
      say(output, "wait", "Waiting for the answer …");
      const began = performance.now();
      const reply = await fetch(form.dataset.path, {
        method: "POST",
        headers: headers({ "content-type": type, accept: "application/json" }),
        body,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      const text = await reply.text();
      shown(output, reply, text, Math.round(performance.now() - began));
    } catch (error) {
      say(output, "bad", error instanceof TypeError ? "The server did not answer." : error.message);
    }
  }

  function fieldsOf(form) {
    return [...form.querySelectorAll("[data-field]")].map((input) => ({
      input,
      name: input.dataset.field,
      kind: input.dataset.kind,
      nullable: "nullable" in input.dataset,
    }));
  }

  function rowOf(form) {
    const members = fieldsOf(form).map(({ input, name, kind }) => {
      try {
        return `${JSON.stringify(name)}:${input.disabled ? "null" : forms.jsonOf(kind, input.value)}`;
      } catch (error) {
        input.focus();
        throw new Error(`${name}: ${error.message}`);
      }
    });
    return [`[{${members.join(",")}}]`, "application/json"];
  }

  function prepare(form) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(form, async () => rowOf(form));
    });
    for (const box of form.querySelectorAll("[data-null]")) {
      const { input } = fieldsOf(form)[Number(box.dataset.null)];
      box.addEventListener("change", () => {
        input.disabled = box.checked;
      });
    }
    const drop = form.querySelector(".drop");
    const chosen = drop.querySelector("input");
    const send = (file) => ask(form, () => forms.bodyOf(file, fieldsOf(form)));
    chosen.addEventListener("change", () => {
      if (chosen.files.length) {
        send(chosen.files[0]);
      }
      chosen.value = "";
    });
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", name === "dragenter" || name === "dragover");
      });
    }
    drop.addEventListener("drop", (event) => {
      if (event.dataTransfer.files.length) {
        send(event.dataTransfer.files[0]);
      }
    });
  }

  function prepareAll() {
    for (const form of document.querySelectorAll("form[data-path]")) {
      prepare(form);
    }
  }

  const open = document.getElementById("open");
  open?.addEventListener("click", async () => {
    const state = document.getElementById("state");
    try {
      const reply = await fetch("/docs", { headers: headers({}), cache: "no-store", credentials: "omit" });
      if (!reply.ok) {
        say(state, "bad", reply.status === 401 ? "The token is not accepted." : `The server answers ${reply.status}.`);
        return;
      }
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      document.title = page.title;
      document.querySelector("main").replaceWith(page.querySelector("main"));
      state.replaceChildren();
      open.remove();
      prepareAll();
    } catch {
      say(state, "bad", "The server did not answer.");
    }
  });
  prepareAll();
};

if (typeof document !== "undefined") {
  start();
}

/**
 * A probe: each command in a message's text uses one part of the contract.
 * The Python probe understands the same commands and answers the same text.
 */
import * as config from 'anchorhold:agent/config@0.1.0';
import * as database from 'anchorhold:agent/database@0.1.0';
import * as events from 'anchorhold:agent/events@0.1.0';
import * as http from 'anchorhold:agent/http@0.1.0';
import * as llm from 'anchorhold:agent/llm@0.1.0';
import * as log from 'anchorhold:agent/log@0.1.0';
import * as reply from 'anchorhold:agent/reply@0.1.0';
import * as state from 'anchorhold:agent/state@0.1.0';

import { fromUtf8, toHex, toUtf8 } from './bytes.js';

const ASTRAL = 'naïve Ω 漢字 😀 𝄞 👩‍🚀';

const WEATHER = {
  name: 'weather',
  description: 'The weather of a city.',
  inputSchemaJson: JSON.stringify({
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  }),
  strict: true,
};

/** What the agent exports: the interface `chat` of the contract. */
export const chat = {
  respond(message) {
    const [name, rest] = cut(message.text);
    if (name === 'error') {
      throw new Failure(...cut(rest));
    }
    // A field that is an option may be left out, here `metadataJson`.
    return { text: answer(name, rest, message), attachments: [], toolCalls: [] };
  },
};

/** An error of the contract is an answer here, so that a test can read it. */
function answer(name, rest, message) {
  try {
    return pick(COMMANDS, name)(rest, message);
  } catch (error) {
    if (error.payload) {
      return `error ${error.payload.kind}`;
    }
    // Anything thrown that carries no error of the contract would be a trap.
    throw new Failure('internal', `${error}\n${error.stack}`);
  }
}

const COMMANDS = {
  echo: (text) => text,
  history: (_, message) => message.history.map((past) => past.text).join('|'),
  config: (key) => config.get(key) ?? 'unset',
  state: (rest) => within(STATE, rest),
  sql: (rest) => within(SQL, rest),
  publish: (rest) => publish(...cut(rest)),
  generate: (text) => visibleText(llm.generate(prompt(text))),
  stream,
  forward: (text) => visibleText(reply.forward(llm.start(prompt(text)))),
  tool,
  http: (rest) => request(...cut(rest)),
  send,
  log: writeLog,
  // Math.random is seeded when the component is built: the same numbers in every turn.
  random: () => 'unsupported',
  clock: () => String(Date.now()),
  'exact-integers': exactIntegers,
  unicode,
  denied,
};

const STATE = {
  get: (rest) => stored(rest, (entry) => fromUtf8(entry.value)),
  revision: (rest) => stored(rest, (entry) => entry.revision),
  set(rest) {
    const [where, key, value] = words(rest, 3);
    state.set(scope(where), key, toUtf8(value), null);
    return 'ok';
  },
  cas(rest) {
    const [where, key, expected, value] = words(rest, 4);
    const revision = expected === '-' ? null : expected;
    state.compareAndSet(scope(where), key, revision, toUtf8(value), null);
    return 'ok';
  },
};

const SQL = {
  execute: (sql) => String(database.execute(sql, []).rowsAffected),
  query: (sql) => JSON.stringify(database.query(sql, []).rows.map((row) => row.map(plain))),
};

function stored(rest, read) {
  const [where, key] = words(rest, 2);
  const entry = state.get(scope(where), key);
  return entry === null ? 'unset' : read(entry);
}

/** Checked, because a word that is no case of an enum would be a trap. */
function scope(word) {
  return pick({ agent: 'agent', conversation: 'conversation', user: 'user' }, word);
}

/** A database value as JSON can carry it. */
function plain({ tag, val }) {
  switch (tag) {
    case 'null':
      return null;
    case 'blob':
      return toHex(val);
    default:
      return val;
  }
}

function publish(topic, dataJson) {
  events.publish({ topic, dataJson });
  return 'published';
}

/** One message of a person for the model called `default`. */
function prompt(text, tools = []) {
  return {
    model: 'default',
    messages: [{ role: 'user', content: [{ tag: 'text', val: text }] }],
    tools,
    toolChoice: { tag: 'auto' },
    responseFormat: { tag: 'text' },
    stop: [],
  };
}

function visibleText(response) {
  return response.content
    .filter((part) => part.tag === 'text')
    .map((part) => part.val)
    .join('');
}

function stream(text) {
  const generation = llm.start(prompt(text));
  try {
    const pieces = [...read(generation)]
      .filter((event) => event.tag === 'text')
      .map((event) => event.val.text);
    return `${pieces.join('')}|${pieces.length > 0 ? 'ok' : 'none'}`;
  } finally {
    generation[Symbol.dispose]();
  }
}

function* read(generation) {
  for (let batch = generation.next(16); batch.length > 0; batch = generation.next(16)) {
    yield* batch;
  }
}

function tool(text) {
  const { content } = llm.generate(prompt(text, [WEATHER]));
  const call = content.find((part) => part.tag === 'tool-call')?.val;
  return call ? `${call.name} ${call.argumentsJson}` : 'none';
}

function request(method, url) {
  const response = http.send({ method, url, headers: [] });
  return `${response.status} ${fromUtf8(response.body)}`;
}

function send(text) {
  const pieces = text.split(';;');
  pieces.forEach((piece) => reply.sendText(piece));
  return pieces.join('');
}

function writeLog(text) {
  log.write('info', text, [['language', 'javascript']]);
  return 'logged';
}

/** The largest integers a number carries exactly, and the largest a database does. */
function exactIntegers() {
  const params = [
    { tag: 'integer', val: Number.MAX_SAFE_INTEGER },
    { tag: 'integer', val: Number.MIN_SAFE_INTEGER },
    { tag: 'big-integer', val: '9223372036854775807' },
    { tag: 'big-integer', val: '-9223372036854775808' },
    { tag: 'big-integer', val: '42' },
  ];
  const [row] = database.query('SELECT ?1, ?2, ?3, ?4, ?5', params).rows;
  return JSON.stringify(row.map(plain));
}

/** Characters outside the basic plane, and empty strings, in both directions. */
function unicode() {
  log.write('info', ASTRAL, [['empty', '']]);
  log.write('info', '', []);
  return `${ASTRAL}|${[...ASTRAL].length}|${''.length}`;
}

function denied() {
  try {
    return request('GET', 'https://denied.example/');
  } catch (error) {
    if (!error.payload) throw error;
    return `${error.payload.kind} ${error.payload.message}`;
  }
}

/** Runs the command of `table` that `rest` begins with. */
function within(table, rest) {
  const [name, argument] = cut(rest);
  return pick(table, name)(argument);
}

function pick(table, name) {
  if (!Object.hasOwn(table, name)) {
    throw new Failure('invalid-input', `unknown word: ${name}`);
  }
  return table[name];
}

/** The first word and everything after it. */
function cut(text) {
  const at = text.indexOf(' ');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** `count` words, the last of which is all that remains. */
function words(text, count) {
  const [word, rest] = cut(text);
  return count === 1 ? [text] : [word, ...words(rest, count - 1)];
}

/** An error of the contract, in the shape in which the host's own errors arrive. */
class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.payload = { kind, message, retryable: false };
  }
}

/** What the answers of PostgreSQL, and of a pooler before it, mean: in words by which a reader can do something. */

interface Meaning {
  /** The SQLSTATEs that it is about. */
  readonly state: RegExp
  /** What the text must hold as well: one SQLSTATE says several things. A server that speaks no English misses it. */
  readonly text?: RegExp
  /** What follows "could not be asked to read:". */
  readonly words: string
}

const ANY = /^/

/** The first that fits counts, so those with a `text` stand before those without. */
const MEANINGS: readonly Meaning[] = [
  // PgBouncer. It says nearly all of this as 08P01, and in later versions some of it by other states.
  {
    state: ANY,
    text: /max_client_conn/,
    words: 'the pooler takes no more clients; raise its `max_client_conn` above processes × `maxConnections`',
  },
  {
    state: ANY,
    text: /query_wait_timeout/,
    words:
      'the pooler had no connection to the server free within its `query_wait_timeout`; raise its `default_pool_size`, and look for transactions that somebody left open',
  },
  { state: ANY, text: /^query.timeout$/, words: 'the statement took longer than the `query_timeout` of the pooler' },
  {
    state: ANY,
    text: /^idle transaction timeout$/,
    words: 'a transaction stood open for longer than the `idle_transaction_timeout` of the pooler',
  },
  {
    state: ANY,
    text: /unsupported startup parameter/,
    words:
      'the pooler refuses a setting of the connection string; take it out, or add it to `ignore_startup_parameters` of the pooler',
  },
  {
    state: ANY,
    text: /not allowed in statement pooling mode/,
    words:
      'the pooler is in statement mode, which knows no transactions; leave out `statementTimeoutMs`, and set the database up directly on the server, without `migrate`',
  },
  {
    state: /^08/,
    text: /no such database|bouncer config error/,
    words: 'the pooler knows no such database; add it to its `[databases]`, or correct the name',
  },
  {
    state: /^08/,
    text: /SSL required|TLS client certificate required/,
    words:
      'the pooler lets nobody in without TLS, or without a certificate; give `ssl`, or a connection string with `sslmode=verify-full`',
  },
  {
    state: /^08/,
    text: /^(?:password|SASL|PAM|certificate) authentication failed|^auth failed|no such user|not allowed$/,
    words: 'the pooler refuses the user or the password',
  },
  {
    state: /^08/,
    text: /server_login_retry|server login|server down|server conn|cannot connect|connect (?:failed|timeout)|DNS lookup/,
    words: 'the pooler cannot reach the server behind it, or is refused there; its log says why',
  },
  { state: /^08/, text: /shut ?down|exiting$/, words: 'the pooler is being shut down' },
  { state: /^08/, words: 'the connection failed' },

  // PostgreSQL: who is let in.
  {
    state: /^28000$/,
    text: /no encryption|SSL off/,
    words:
      'its `pg_hba.conf` lets this program in from here only with TLS, if at all; give `ssl`, or a connection string with `sslmode=verify-full`',
  },
  {
    state: /^28000$/,
    text: /pg_hba\.conf/,
    words: 'its `pg_hba.conf` has no line that lets this user in from here to this database',
  },
  { state: /^28000$/, text: /not permitted to log in/, words: 'the role may not log in; `alter role … login` lets it' },
  { state: /^28000$/, text: /client certificate/, words: 'it wants a certificate of the client (`sslcert`, `sslkey`)' },
  {
    state: /^28000$/,
    words:
      'it refused the user; is there such a role, and does `pg_hba.conf` let it in from here, without TLS perhaps?',
  },
  { state: /^28/, words: 'it refused the password' },
  {
    state: /^55000$/,
    text: /accepting connections/,
    words: 'the database takes no connections (`alter database … allow_connections`)',
  },
  {
    state: /^42501$/,
    text: /for database/,
    words: 'the role may not connect to the database; `npx nonstick setup` grants it',
  },
  { state: /^42501$/, text: /for schema/, words: 'the role may not use the schema; `npx nonstick setup` grants it' },
  { state: /^42501$/, words: 'the role lacks a right on the table; `npx nonstick setup` grants it' },
  {
    state: /^42704$/,
    text: /configuration parameter/,
    words: 'it knows no such setting as the connection string has in `options`',
  },
  {
    state: /^42601$/,
    text: /server process|requires a value/,
    words: 'it cannot read what the connection string has in `options`',
  },
  {
    state: /^22023$|^55P02$/,
    words: 'it refuses a setting, or the value of one, that the connection string has in `options`',
  },

  // What is used up.
  {
    state: /^53300$/,
    text: /for role/,
    words:
      'the role has as many connections as it may have (`alter role … connection limit`); each process opens up to `maxConnections`',
  },
  {
    state: /^53300$/,
    text: /for database/,
    words:
      'the database has as many connections as it may have (`alter database … connection limit`); each process opens up to `maxConnections`',
  },
  {
    state: /^53300$/,
    words:
      'it has no connection left; processes × `maxConnections`, and what others use, must stay below its `max_connections`',
  },
  { state: /^53100$/, words: 'its disk is full; it can be read, and takes changes again once there is room' },
  { state: /^53200$/, words: 'it has no memory left' },
  { state: /^53/, words: 'a limit of its configuration was reached' },

  // What it may not, or cannot, do at the moment.
  {
    state: /^25006$/,
    words:
      'it only reads, as a standby does, or a server with `default_transaction_read_only`; lead the program to the one that can be written to',
  },
  { state: /^25P03$|^25P04$/, words: 'it ended a transaction that stood open for too long' },
  { state: /^25/, words: 'somebody left a transaction open on the connection' },
  {
    state: /^26000$|^42P05$/,
    words:
      'a pooler mixed up prepared statements; leave `namedStatements` off, or let the pooler keep them (`max_prepared_statements`)',
  },
  { state: /^0A000$/, text: /cached plan/, words: 'the table was changed since the statement was prepared' },
  { state: /^40001$/, words: 'it could not serialize the change' },
  { state: /^40P01$/, words: 'it met a deadlock' },
  { state: /^40003$/, words: 'it cannot say whether the change was committed' },
  {
    state: /^55P03$/,
    words:
      'a lock that the statement needs is held for longer than its `lock_timeout`, by an `alter table`, a `vacuum full` or a forgotten transaction',
  },
  {
    state: /^57014$/,
    text: /statement timeout/,
    words: 'the statement took longer than its `statement_timeout`; `pg_stat_activity` shows what it waits for',
  },
  { state: /^57014$/, text: /user request/, words: 'somebody cancelled the statement' },
  { state: /^57014$/, words: 'the statement was cancelled, by a time-out of the server perhaps' },
  { state: /^57P01$/, words: 'it is being shut down, or an administrator ended the connection' },
  { state: /^57P02$/, words: 'it crashed' },
  { state: /^57P03$/, words: 'it is starting or stopping' },
  { state: /^57P04$/, words: 'the database was dropped' },
  { state: /^57P05$/, words: 'it ended a connection that was idle for too long' },

  // What is wrong with the value, the table or the server itself.
  { state: /^22021$|^22P05$/, words: 'a text holds a character that the encoding of the database lacks' },
  { state: /^22/, words: 'it is not of the kind, or not in the range, that its column takes' },
  { state: /^23505$/, words: 'a unique index of the table refuses it' },
  { state: /^23/, words: 'a constraint of the table refuses it' },
  { state: /^54/, words: 'it is larger than a row, an index or a statement can be' },
  { state: /^42/, words: 'it does not accept the statement; is the table another program’s?' },
  { state: /^58/, words: 'it could not read or write a file of its own' },
  { state: /^XX00[12]$/, words: 'its data is damaged; stop the server, and restore a backup or repair it' },
  { state: /^XX/, words: 'it met an error of its own' },
  { state: /^P0|^3[89]/, words: 'a trigger or function of the database refused it' },
  { state: ANY, words: 'it answered with an error' },
]

/** What the answer means, and in brackets its SQLSTATE with the server's own words, where they may be shown. */
export const meaningOf = (sqlState: string, text: string): string => {
  const meaning = MEANINGS.find((one) => one.state.test(sqlState) && (one.text?.test(text) ?? true))
  const shown = shownText(sqlState, text)
  return `${meaning?.words} (${sqlState}${shown === undefined ? '' : `: ${shown}`})`
}

/**
 * The classes whose texts are about the server, the connection or the names of tables: 08 connection, 0A not supported,
 * 25 and 40 transactions, 26 statements, 42 names and rights, 53 resources, 54 limits, 55 and 57 the state of the server,
 * 58 files, F0 configuration, XX the server's own errors. The others may quote a value (22, 23), name a user (28), or be
 * anything that somebody wrote into a trigger (P0, 38, 39).
 */
const SHOWN = /^(?:08|0A|25|26|40|42|53|54|55|57|58|F0|XX)/

const LONGEST_TEXT = 200

/** Names that are no secret, before a quoted one. */
const OF_THE_SCHEMA =
  /\b(?:file|relation|table|column|index|constraint|schema|tablespace|parameter|function|operator) $/

/** In the manners of the languages that PostgreSQL speaks. */
const QUOTED = /"[^"]*"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|»[^«]*«|「[^」]*」|(?<=^|[\s(=])'[^']*'/g

/**
 * The server's own words, or `undefined` for a class of answers that may hold data. The names of users and databases,
 * which stand in quotes, are left out of the others.
 */
export const shownText = (sqlState: string, text: string): string | undefined => {
  if (!SHOWN.test(sqlState) || text === '') return undefined
  const words = text
    .replace(QUOTED, (quoted, at: number) => (OF_THE_SCHEMA.test(text.slice(0, at)) ? quoted : '"…"'))
    .replace(/\b(user|role|db|database)(=|: ?)\S+/gi, '$1$2…')
    .replace(/\s+/g, ' ')
    .trim()
  return words.length > LONGEST_TEXT ? `${words.slice(0, LONGEST_TEXT - 1)}…` : words
}

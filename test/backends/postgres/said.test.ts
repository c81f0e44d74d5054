import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../../../scripts/servers/index.js'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { meaningOf, shownText } from '../../../src/backends/postgres/sqlstates.js'
import type { Backend } from '../../../src/contract/backend.js'
import { isSessionStoreError, type SessionStoreError } from '../../../src/errors.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { absent, skipUnless } from '../../support/skip.js'
import { pgbouncerProgram, startPgbouncer } from './pgbouncer.js'

/** A name that must stand in no error: of the role that every test connects as. */
const ROLE = 'very_private_role'
const MAX_CONNECTIONS = 14

let server: PostgresServer
let admin: pg.Client
const opened: Backend[] = []
const clients: pg.Client[] = []

const connect = async (connectionString: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString })
  client.on('error', () => {})
  await client.connect()
  clients.push(client)
  return client
}
const urlOf = ({ user = ROLE, password = 'app', database = 'postgres' } = {}): string => {
  const url = new URL(server.adminUrl)
  url.username = user
  url.password = password
  url.pathname = `/${database}`
  return url.href
}
const open = (options: PostgresOptions = {}): Backend => {
  const backend = postgres({
    connectionString: urlOf(),
    queryTimeoutMs: 20_000,
    connectTimeoutMs: 20_000,
    maxConnections: 2,
    ...options,
  })
  opened.push(backend)
  return backend
}
/** What the call was refused with: an error of ours, in which the role stands nowhere. */
const errorOf = async (call: Promise<unknown>): Promise<SessionStoreError> => {
  const error = await call.then(
    (value) => new Error(`it did not reject: ${inspect(value)}`),
    (raised: unknown) => raised,
  )
  if (!isSessionStoreError(error)) throw error
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(ROLE)
  return error
}
const read = (backend: Backend): Promise<SessionStoreError> => errorOf(backend.read(sampleLocator()))
const insert = (backend: Backend): Promise<SessionStoreError> =>
  errorOf(backend.insert(sampleLocator(), storedSession()))

beforeAll(async () => {
  const settings = { max_connections: `${MAX_CONNECTIONS}`, superuser_reserved_connections: '3' }
  server = await startPostgres({ useEnvironment: false, fsync: false, settings })
  admin = new pg.Client({ connectionString: server.adminUrl })
  admin.on('error', () => {})
  await admin.connect()
  await admin.query(`create role ${ROLE} login password 'app'`)
  await admin.query(`grant create on database postgres to ${ROLE}`)
  await open({ migrate: true }).read(sampleLocator())
})
afterEach(async () => {
  await Promise.all([
    ...opened.splice(0).map((backend) => backend.close()),
    ...clients.splice(0).map((client) => client.end()),
  ])
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

/** Runs `work` while the statement holds, and takes it back. */
const during = async (statement: string, back: string, work: () => Promise<void>): Promise<void> => {
  await admin.query(statement)
  try {
    await work()
  } finally {
    await admin.query(back)
  }
}

describe('who is not let in is told why', () => {
  test('by a password', async () => {
    for (const user of [ROLE, 'nobody_of_this_name'])
      expect((await read(open({ connectionString: urlOf({ user, password: 'wrong' }) }))).message).toMatch(
        /it refused the password \(28P01\)$/,
      )
  })

  test('by a role that may not log in', () =>
    during(`alter role ${ROLE} nologin`, `alter role ${ROLE} login`, async () => {
      expect((await read(open())).message).toMatch(/the role may not log in; .* \(28000\)$/)
    }))

  test('by a database that is missing, closed, or not for this role', async () => {
    const elsewhere = () => open({ connectionString: urlOf({ database: 'other_database' }) })
    expect(await read(elsewhere())).toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringContaining('it lacks the database; run `npx nonstick setup`'),
    })
    await admin.query('create database other_database allow_connections false')
    expect((await read(elsewhere())).message).toContain('the database takes no connections')
    await admin.query('alter database other_database allow_connections true')
    await admin.query('revoke connect on database other_database from public')
    expect((await read(elsewhere())).message).toContain(
      'the role may not connect to the database; `npx nonstick setup` grants it',
    )
    await admin.query('drop database other_database')
  })

  test('by a server that wants TLS', async () => {
    const { rows } = await admin.query('show hba_file')
    const path = rows[0].hba_file
    const let_in = (lines: string) => {
      writeFileSync(path, lines)
      return admin.query('select pg_reload_conf()')
    }
    const before = 'host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n'
    await let_in('host all postgres 127.0.0.1/32 scram-sha-256\n')
    try {
      await expect
        .poll(async () => (await read(open())).message, { timeout: 20_000 })
        .toMatch(/only with TLS, if at all; give `ssl`, or a connection string with `sslmode=verify-full` \(28000\)$/)
    } finally {
      await let_in(before)
    }
    await expect.poll(async () => (await open().health()).state, { timeout: 20_000 }).toBe('up')
  })

  test('by a server that has no TLS', async () => {
    expect((await read(open({ ssl: true }))).message).toContain('The server does not support SSL connections')
  })

  test('by a limit of the role or of the database', async () => {
    await during(`alter role ${ROLE} connection limit 0`, `alter role ${ROLE} connection limit -1`, async () => {
      expect(await read(open())).toMatchObject({
        answered: true,
        message: expect.stringMatching(/the role has as many connections .*`maxConnections` \(53300: .*role "…"\)$/),
      })
    })
    await during(
      'alter database postgres connection limit 0',
      'alter database postgres connection limit -1',
      async () => {
        expect((await read(open())).message).toContain('the database has as many connections as it may have')
      },
    )
  })

  test('by a server without connections to spare, with the sum to do', async () => {
    const crowd = await Promise.all(Array.from({ length: MAX_CONNECTIONS - 4 }, () => connect(urlOf())))
    expect(crowd).toHaveLength(MAX_CONNECTIONS - 4)
    const backend = open()
    expect(await insert(backend)).toMatchObject({
      answered: true,
      applied: 'no',
      message: expect.stringMatching(
        /it has no connection left; processes × `maxConnections`, and .*`max_connections` \(53300: remaining connection slots .*\)$/,
      ),
    })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('53300') })
  })

  test('by a setting that the server does not know', async () => {
    const connectionString = `${urlOf()}?options=${encodeURIComponent('-c nonsense=1')}`
    expect((await read(open({ connectionString }))).message).toContain('it knows no such setting')
  })

  test.each([
    ['-c datestyle=5ecret', '22023'],
    ['-c work_mem=1', '22023'],
    ['-c role=5ecret', '22023'],
    ['-c max_connections=5', '55P02'],
    ['--5ecret', '42601'],
  ])('by a setting that it refuses, %s: nothing is wrong with the session', async (settings, state) => {
    const backend = open({ connectionString: `${urlOf()}?options=${encodeURIComponent(settings)}` })
    const reason = expect.stringMatching(/(?:that|what) the connection string has in `options`/)
    for (const error of [await read(backend), await insert(backend)]) {
      expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: true, message: reason })
      expect(error.message).toContain(state)
    }
    expect(await backend.health()).toMatchObject({ state: 'down', reason })
  })
})

describe('what is refused is told why', () => {
  const TABLE = 'nonstick.session'

  test('by rights', async () => {
    await during(`revoke insert on ${TABLE} from ${ROLE}`, `grant insert on ${TABLE} to ${ROLE}`, async () => {
      const backend = open()
      expect((await insert(backend)).message).toMatch(
        /the role lacks a right on the table; `npx nonstick setup` grants it \(42501: permission denied for table session\)$/,
      )
      expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('(insert)') })
    })
    await during(
      `alter schema nonstick owner to postgres; revoke usage on schema nonstick from ${ROLE}`,
      `grant usage on schema nonstick to ${ROLE}; alter schema nonstick owner to ${ROLE}`,
      async () => {
        const backend = open()
        expect((await read(backend)).message).toContain(
          'the role may not use the schema; `npx nonstick setup` grants it (42501',
        )
        expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('schema') })
      },
    )
  })

  test('by time-outs, with what may hold the lock', async () => {
    const rival = await connect(server.adminUrl)
    await rival.query(`begin; lock table ${TABLE}`)
    const limited = (parameter: string) => open({ connectionString: `${urlOf()}?${parameter}=300` })
    const statement = await insert(limited('statement_timeout'))
    expect(statement).toMatchObject({ answered: true, applied: 'no' })
    expect(statement.message).toMatch(
      /took longer than its `statement_timeout`; .*\(57014: canceling statement due to /,
    )
    const lock = await insert(limited('lock_timeout'))
    expect(lock.message).toMatch(/is held for longer than its `lock_timeout`, by an `alter table`.*\(55P03: /)
    await rival.query('rollback')
  })

  test('by a server that only reads', () =>
    during(
      `alter role ${ROLE} set default_transaction_read_only = on`,
      `alter role ${ROLE} reset default_transaction_read_only`,
      async () => {
        expect((await insert(open())).message).toMatch(
          /it only reads, .*; lead the program to the one that can be written to \(25006: cannot execute INSERT in /,
        )
      },
    ))

  test('by a table without its primary key', () =>
    during(
      `alter table ${TABLE} drop constraint session_pkey`,
      `alter table ${TABLE} add primary key (namespace, id_hash)`,
      async () => {
        const tombstone = { writeId: sampleWriteId(), at: 1, keepUntil: 2 }
        expect(await errorOf(open().destroy(sampleLocator(), tombstone))).toMatchObject({
          code: 'E_BACKEND_SCHEMA',
          applied: 'no',
          message: expect.stringContaining('lacks its primary key'),
        })
      },
    ))

  test('by a trigger, whose words may hold a row and are not shown', async () => {
    await admin.query(
      `create function public.refuse() returns trigger language plpgsql as 'begin raise exception ''no: %'', new.user_id; end'`,
    )
    await during(
      `create trigger refuse before insert on ${TABLE} for each row execute function public.refuse()`,
      `drop trigger refuse on ${TABLE}`,
      async () => {
        const error = await errorOf(open().insert(sampleLocator(), storedSession({ userId: 'somebody' })))
        expect(error.message).toMatch(/a trigger or function of the database refused it \(P0001\)$/)
        expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('somebody')
      },
    )
  })
})

/** A server that lets everybody in, and answers whatever it is asked with one error. */
const answering = async (state: string, text: string): Promise<{ port: number; close(): void }> => {
  const message = (type: string, body: Buffer | string): Buffer => {
    const length = Buffer.alloc(4)
    length.writeInt32BE(Buffer.byteLength(body) + 4)
    return Buffer.concat([Buffer.from(type), length, Buffer.from(body)])
  }
  const ready = message('Z', 'I')
  const fields = [`SERROR`, `VERROR`, `C${state}`, `M${text}`, 'DFailing row contains (secret).', '']
  const scripted = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready]))
      socket.on('data', () => socket.write(Buffer.concat([message('E', `${fields.join('\0')}\0`), ready])))
    })
  }).listen(0, '127.0.0.1')
  await once(scripted, 'listening')
  return { port: (scripted.address() as AddressInfo).port, close: () => scripted.close() }
}

test.each([
  [
    '53100',
    'could not extend file "base/5/16384": No space left on device',
    /its disk is full; .* \(53100: could not extend file "base\/5\/16384": No space left on device\)$/,
  ],
  ['53200', 'out of memory', /it has no memory left \(53200: out of memory\)$/],
  ['58030', 'could not read block 7 in file "base/5/16384"', /could not read or write a file of its own \(58030: /],
  ['XX001', 'invalid page in block 7 of relation base/5/16384', /its data is damaged; .* \(XX001: invalid page/],
  ['57P03', 'the database system is starting up', /it is starting or stopping \(57P03: /],
])('what a real server does not say on demand is told too: %s', async (state, text, words) => {
  const { port, close } = await answering(state, text)
  const error = await insert(open({ connectionString: `postgres://${ROLE}@127.0.0.1:${port}/x` }))
  expect(error.message).toMatch(words)
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('secret')
  close()
})

describe('of the server’s own words', () => {
  test.each([
    ['53300', 'too many connections for role "secret"', 'too many connections for role "…"'],
    ['53300', 'zu viele Verbindungen von Rolle »secret«', 'zu viele Verbindungen von Rolle "…"'],
    ['53300', 'trop de connexions pour le rôle « secret »', 'trop de connexions pour le rôle "…"'],
    ['08P01', 'no such user: secret', 'no such user: …'],
    ['08P01', "password authentication failed for user 'secret'", 'password authentication failed for user "…"'],
    ['42P01', 'relation "nonstick.session" does not exist', 'relation "nonstick.session" does not exist'],
    ['53100', 'one\nline', 'one line'],
  ])('names of users are left out: %s %s', (state, text, shown) => {
    expect(shownText(state, text)).toBe(shown)
  })

  test.each(['22P02', '23505', '28000', 'P0001', '38000', 'ZZ123'])(
    'those of %s are not shown: they may hold data',
    (state) => {
      expect(shownText(state, 'invalid input syntax for type integer: "secret"')).toBeUndefined()
      expect(meaningOf(state, 'secret')).not.toContain('secret')
    },
  )

  test('no more is shown than a line', () => {
    expect(shownText('XX000', 'x'.repeat(9_999))).toHaveLength(200)
  })
})

skipUnless(
  'what pgbouncer refuses is told why',
  pgbouncerProgram() ?? absent('there is no pgbouncer here'),
  (program) => {
    const behind = async (
      settings: Readonly<Record<string, string>>,
      work: (url: string) => Promise<void>,
    ): Promise<void> => {
      const pgbouncer = await startPgbouncer(program, urlOf(), settings)
      try {
        await work(pgbouncer.url)
      } finally {
        await Promise.all(opened.splice(0).map((backend) => backend.close()))
        await Promise.all(clients.splice(0).map((client) => client.end().catch(() => {})))
        await pgbouncer.stop()
      }
    }

    test('a client too many', () =>
      behind({ max_client_conn: '2' }, async (url) => {
        await expect
          .poll(
            () =>
              Promise.all([connect(url), connect(url)]).then(
                () => true,
                () => false,
              ),
            { timeout: 20_000 },
          )
          .toBe(true)
        expect((await insert(open({ connectionString: url }))).message).toMatch(
          /takes no more clients; raise its `max_client_conn` above processes × `maxConnections` \(08P01: no more connections /,
        )
      }))

    test('a statement for which no connection to the server is free', () =>
      behind({ default_pool_size: '1', query_wait_timeout: '1' }, async (url) => {
        await (await connect(url)).query('begin')
        expect((await insert(open({ connectionString: url }))).message).toMatch(
          /no connection to the server free within its `query_wait_timeout`; .*\(08P01: query_wait_timeout\)$/,
        )
      }))

    test('a statement that takes longer than its query_timeout', () =>
      behind({ query_timeout: '1' }, async (url) => {
        const rival = await connect(server.adminUrl)
        await rival.query('begin; lock table nonstick.session')
        expect((await insert(open({ connectionString: url }))).message).toContain('the `query_timeout` of the pooler')
        await rival.query('rollback')
      }))

    test('a setting at the start of a connection', () =>
      behind({}, async (url) => {
        expect((await read(open({ connectionString: `${url}?statement_timeout=5000` }))).message).toMatch(
          /`ignore_startup_parameters` of the pooler \(08P01: unsupported startup parameter: statement_timeout\)$/,
        )
      }))

    test('a database that it does not know', () =>
      behind({}, async (url) => {
        expect((await read(open({ connectionString: url.replace(/\/test$/, '/other') }))).message).toContain(
          'the pooler knows no such database; add it to its `[databases]`',
        )
      }))

    test('a transaction in statement mode', () =>
      behind({ pool_mode: 'statement' }, async (url) => {
        const words = expect.stringContaining(
          'statement mode, which knows no transactions; leave out `statementTimeoutMs`',
        )
        expect(await insert(open({ connectionString: url, statementTimeoutMs: 5_000 }))).toMatchObject({
          message: words,
        })
      }))

    test('a server behind it that refuses the pooler, without the name of its user', () =>
      behind({ server_login_retry: '1' }, async (url) => {
        await during(`alter role ${ROLE} password 'changed'`, `alter role ${ROLE} password 'app'`, async () => {
          await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [ROLE])
          await expect
            .poll(async () => (await read(open({ connectionString: url }))).message, { timeout: 20_000 })
            .toMatch(/the pooler cannot reach the server behind it, or is refused there; its log says why \(08P01: /)
        })
      }))
  },
)

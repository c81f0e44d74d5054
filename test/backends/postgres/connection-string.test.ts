import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { resolvePostgresOptions } from '../../../src/backends/postgres/options.js'
import type { OwnPoolOptions } from '../../../src/backends/postgres/own-pool.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'
import { rounds, seed } from '../../support/seed.js'

const folder = mkdtempSync(join(tmpdir(), 'nonstick-certificates-'))
afterAll(() => rmSync(folder, { recursive: true }))
const fileWith = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

const opened = (
  connectionString: string,
  options: PostgresOptions = {},
  env: Readonly<Record<string, string>> = {},
): OwnPoolOptions => {
  const { source } = resolvePostgresOptions({ connectionString, ...options }, env)
  if (!('open' in source)) throw new Error('a connection string opens a pool of our own')
  return source.open
}

const refusal = (connectionString: string, options: PostgresOptions = {}, env: Record<string, string> = {}): string => {
  try {
    opened(connectionString, options, env)
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    return (error as Error).message
  }
  throw new Error(`it should have been refused: ${connectionString}`)
}

describe('where a connection string leads', () => {
  test.each([
    'postgres://me:secret@db.example.net:6432/sessions',
    'postgresql://me@db.example.net/sessions',
    'postgres://me:p%40ss%2Fw%3Fo%23r%25d@[::1]:5433/sessions',
    'postgres://me:p@ss@127.0.0.1/sessions',
    'postgres://me:a:b@h/sessions',
    'postgres://%2Fvar%2Frun%2Fpostgresql/sessions',
    'postgres://me:secret@/sessions?host=/var/run/postgresql&port=5433',
    'postgres://me@localhost:5432/sessions?host=/var/run/postgresql',
    'postgres://db/sessions?user=someone&password=else',
    'socket:/var/run/postgresql?db=sessions',
    'socket://me:secret@/var/run/postgresql?db=sessions',
    '/var/run/postgresql sessions',
    'postgres://me@db/my%20sessions',
    'postgres://me@db/sessions?application_name=shop&options=-c+work_mem%3D4MB',
    'postgres://me@db/sessions?statement_timeout=1000&lock_timeout=500',
  ])('%s: as pg reads it', (connectionString) => {
    const mine = new pg.Client(opened(connectionString))
    const theirs = new pg.Client({ connectionString, application_name: 'nonstick' })
    const parts = (client: pg.Client) => {
      const { host, port, user, password, database } = client
      const { options, statement_timeout, lock_timeout, application_name } = Reflect.get(client, 'connectionParameters')
      const timeouts = [Number(statement_timeout), Number(lock_timeout)]
      return { host, port, user, password, database, options, timeouts, application_name }
    }
    expect(parts(mine)).toEqual(parts(theirs))
  })

  test('a line end behind it, as a file ends with, is no part of it', () => {
    expect(opened('postgres://me@db/sessions\n').database).toBe('sessions')
  })

  test.each([
    ['no URL', 'host=db dbname=sessions'],
    ['another protocol', 'https://db.example.net/'],
    ['two hosts', 'postgres://me@tic:5432,tac:5432/sessions'],
    ['two hosts behind the question mark', 'postgres://me@/sessions?host=tic,tac'],
    ['a port that is none', 'postgres://me@db:toe/sessions'],
    ['a port out of range', 'postgres://me@db:70000/sessions'],
    ['a parameter twice', 'postgres://me@db/sessions?sslmode=disable&sslmode=require'],
    ['a % that encodes nothing', 'postgres://me:50%off@db/sessions'],
    ['bytes that are no text', 'postgres://me:%E4@db/sessions'],
    ['a # that ends all', 'postgres://me@db/sessions?password=se#cret'],
    ['a line end in it', 'postgres://me@db/ses\nsions'],
  ])('%s is refused, and nothing of it is shown', (_, connectionString) => {
    const message = refusal(connectionString)
    expect(message).toMatch(/^Expected `connectionString` to be a connection URL, .*, got a string: ./)
    expect(message).not.toMatch(/sessions|tic|toe|70000|50|cret/)
  })

  test.each([
    ['sslmod=require', '`sslmod`'],
    ['target_session_attrs=read-write', '`target_session_attrs`'],
    ['query_timeout=5', '`query_timeout`'],
    ['replication=database', '`replication`'],
    ['client_encoding=latin1', '`client_encoding`'],
    ['statement_timeout=soon', '`statement_timeout`'],
    ['connect_timeout=0', '`connect_timeout`'],
    ['gssencmode=require', '`gssencmode`'],
    ['uselibpqcompat=yes', '`uselibpqcompat`'],
    ['sslnegotiation=direct', '`sslnegotiation`'],
    ['channel_binding=require&sslmode=no-verify', '`channel_binding`'],
  ])('?%s cannot be obeyed, and is refused by its name', (query, name) => {
    expect(refusal(`postgres://me@db/sessions?${query}`)).toContain(name)
  })

  test('an option that says the same as a parameter is refused beside it, and obeyed alone', () => {
    const url = 'postgres://me@db/sessions'
    expect(refusal(`${url}?application_name=a`, { applicationName: 'b' })).toContain('`applicationName`')
    expect(refusal(`${url}?connect_timeout=3`, { connectTimeoutMs: 5 })).toContain('`connectTimeoutMs`')
    expect(opened(`${url}?connect_timeout=3`).connectionTimeoutMillis).toBe(3_000)
    expect(opened(`${url}?client_encoding=UTF8&target_session_attrs=any`).host).toBe('db')
  })

  test('of a password that was not encoded nothing is shown, by no error and no name, whatever is in it', async () => {
    // Written as it is, such a password may make another URL of it: `postgres://app:4711/…@host/db` names a host `app`.
    const password = fc
      .array(fc.constantFrom('4711', 'secret', 'geheim', '/', '?', '#', '@', '%', ':', '[', ']', ' ', ',', '&', '='), {
        minLength: 1,
        maxLength: 7,
      })
      .map((parts) => parts.join(''))
    const holdsFor = async (word: string): Promise<void> => {
      const connectionString = `postgres://app:${word}@127.0.0.1:1/db`
      const seen: unknown[] = []
      try {
        const backend = postgres({ connectionString, connectTimeoutMs: 500 })
        seen.push(await backend.read(sampleLocator()).catch((error: unknown) => error), (await backend.health()).reason)
        await backend.close()
      } catch (error) {
        seen.push(error)
      }
      const [first] = seen
      expect(
        inspect(seen.map((one) => (one instanceof Error ? [one.message, Reflect.get(one, 'tier')] : one))),
      ).not.toMatch(/4711|secret|geheim/)
      expect(first).toMatchObject({ code: expect.any(String) })
    }
    await fc.assert(fc.asyncProperty(password, holdsFor), { seed, numRuns: rounds(300, 5_000) })
  })

  test('a given pool is named by where it leads, and not at all where that cannot be told from a password', async () => {
    for (const [options, tier] of [
      [{ connectionString: 'postgres://app:secret@127.0.0.1:1/db' }, 'postgres 127.0.0.1:1'],
      [{ host: '127.0.0.1', port: 1 }, 'postgres 127.0.0.1:1'],
      [{ connectionString: 'postgres://app:4711/secret@127.0.0.1:1/db' }, 'postgres'],
    ] as const) {
      const pool = new pg.Pool({ ...options, connectionTimeoutMillis: 500 })
      const backend = postgres({ pool })
      await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', tier })
      await backend.close()
      await pool.end()
    }
  })

  test('a URL in the place of a host is refused, and not shown', () => {
    for (const host of ['postgres://me:secret@db/sessions', 'one,two', 'me:secret@db']) {
      expect(() => postgres({ host })).toThrow(/^Expected `host` ((?!secret|two).)*, got a string$/)
      expect(() => resolvePostgresOptions({}, { PGHOST: host })).toThrow(/`PGHOST`/)
    }
    expect(() => resolvePostgresOptions({}, { PGPORT: 'many' })).toThrow(/`PGPORT`/)
  })
})

describe('what a connection string says of TLS', () => {
  const url = 'postgres://me@db/sessions'
  const ca = fileWith('ca.pem', 'authority')
  const [cert, key] = [fileWith('client.pem', 'certificate'), fileWith('client.key', 'key')]
  const unverified = { rejectUnauthorized: false }

  test.each([
    ['', false],
    ['sslmode=disable', false],
    ['sslmode=prefer', true],
    ['sslmode=require', true],
    ['sslmode=verify-ca', true],
    ['sslmode=verify-full', true],
    ['sslmode=no-verify', unverified],
    ['sslmode=require&uselibpqcompat=true', unverified],
    ['sslmode=verify-full&uselibpqcompat=true', true],
    ['ssl=true', true],
    ['ssl=1', true],
    ['ssl=false', false],
    ['ssl=0', false],
    ['ssl=no-verify', unverified],
    ['ssl=true&sslmode=no-verify', unverified],
    [`sslrootcert=${ca}`, { ca: 'authority' }],
    [
      `sslmode=verify-full&sslrootcert=${ca}&sslcert=${cert}&sslkey=${key}`,
      { ca: 'authority', cert: 'certificate', key: 'key' },
    ],
    [
      `sslmode=require&uselibpqcompat=true&sslrootcert=${ca}`,
      { ca: 'authority', checkServerIdentity: expect.any(Function) },
    ],
    ['sslmode=verify-full&sslrootcert=system', true],
    [`sslmode=disable&sslrootcert=${ca}`, false],
  ])('?%s', (query, ssl) => {
    const read = opened(`${url}?${query}`).ssl
    expect(typeof read === 'object' ? { ...read } : read).toEqual(ssl)
  })

  test.each([
    ['ssl=require', '`ssl`'],
    ['ssl=prefer', '`ssl`'],
    ['ssl=verify-full', '`ssl`'],
    ['sslmode=allow', '`sslmode`'],
    ['sslmode=on', '`sslmode`'],
    ['ssl=false&sslmode=require', '`ssl`'],
    ['ssl=true&sslmode=disable', '`ssl`'],
    [`ssl=false&sslrootcert=${ca}`, '`ssl`'],
    ['sslmode=verify-ca&uselibpqcompat=true', '`sslmode`'],
    ['sslmode=verify-full&sslrootcert=/nowhere/ca.pem', '`sslrootcert`'],
  ])('?%s is refused by its name', (query, name) => {
    expect(refusal(`${url}?${query}`)).toContain(name)
  })

  test('beside the option `ssl` it is refused, whichever of both is the weaker', () => {
    for (const query of [
      'sslmode=disable',
      'sslmode=verify-full',
      'ssl=0',
      `sslrootcert=${ca}`,
      'sslnegotiation=direct',
    ])
      for (const ssl of [true, false, { ca: 'mine' }]) expect(refusal(`${url}?${query}`, { ssl })).toContain('`ssl`')
    expect(opened(url, { ssl: { ca: 'mine' } }).ssl).toEqual({ ca: 'mine' })
    expect(opened(url, { ssl: false }, { PGSSLMODE: 'require' }).ssl).toBe(false)
  })

  test('the environment says what the string and the options leave out, and nothing against them', () => {
    expect(opened(url, {}, { PGSSLMODE: 'require' }).ssl).toBe(true)
    expect(opened(url, {}, { PGSSLMODE: 'no-verify' }).ssl).toEqual(unverified)
    expect(opened(`${url}?sslmode=disable`, {}, { PGSSLMODE: 'require' }).ssl).toBe(false)
    expect(opened(`${url}?sslrootcert=${ca}`, {}, { PGSSLMODE: 'disable' }).ssl).toEqual({ ca: 'authority' })
    expect({ ...Object(opened(url, {}, { PGSSLMODE: 'verify-full', PGSSLROOTCERT: ca }).ssl) }).toEqual({
      ca: 'authority',
    })
    expect(refusal(url, {}, { PGSSLMODE: 'allow' })).toContain('`PGSSLMODE`')
  })

  test('a certificate is read anew for each connection, and the last good one kept', () => {
    const path = fileWith('renewed.pem', 'old')
    const { ssl } = opened(`${url}?sslrootcert=${path}`)
    const current = (): unknown => Reflect.get(Object(ssl), 'ca')
    expect(current()).toBe('old')
    fileWith('renewed.pem', 'new')
    expect(current()).toBe('new')
    rmSync(path)
    expect(current()).toBe('new')
  })

  test('a given pool whose `ssl` would end the process is refused', () => {
    for (const options of [{ connectionString: `${url}?ssl=require` }, { connectionString: `${url}?ssl=false` }])
      expect(() => postgres({ pool: new pg.Pool(options) })).toThrow(/`pool`/)
    const pool = new pg.Pool({ host: 'db', ...{ ssl: 'require' as unknown as boolean } })
    expect(() => postgres({ pool })).toThrow(/`pool`/)
    for (const fine of ['ssl=true', 'ssl=0', 'ssl=no-verify', ''])
      expect(() => postgres({ pool: new pg.Pool({ connectionString: `${url}?${fine}` }) })).not.toThrow()
  })
})

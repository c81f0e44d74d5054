import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { couchForThisFile } from '../backends/couchdb/server.js'
import { connected, elsewhere, run } from '../backends/postgres/reload-support.js'
import { ownPostgres, type PostgresServer, skipUnless } from '../support/servers.js'
import { jsonOf, nonstick } from './command.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nonstick-setup-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

skipUnless('nonstick setup of PostgreSQL', ownPostgres(), (startPostgres) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres({ fsync: false })
  })
  afterAll(() => server.stop())

  test('makes what NONSTICK_BACKEND names, so that the program can log in with it and doctor finds the schema', async () => {
    const backend = elsewhere(server.adminUrl, { database: 'shop', user: 'shopkeeper', password: 'open sesame' })
    const env = { NONSTICK_ADMIN_URL: server.adminUrl, NONSTICK_BACKEND: backend }
    const made = await nonstick(['setup'], { env })
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).toContain('created role "shopkeeper"')
    expect(made.stdout).not.toContain('sesame')
    await connected(backend, (client) => client.query('select count(*) from nonstick.session'))
    const again = await nonstick(['setup', '--json'], { env })
    expect(jsonOf(again)).toMatchObject({ role: 'shopkeeper', database: 'shop', passwordIsNew: false })
    const found = await nonstick(['doctor', '--json', '--cache', 'memory', '--backend', backend], { env })
    expect(JSON.stringify(jsonOf(found))).not.toMatch(/backend-schema|backend-timeouts|backend-down/)
  })

  test('does not touch what DATABASE_URL names', async () => {
    const env = {
      NONSTICK_ADMIN_URL: server.adminUrl,
      NONSTICK_DATABASE: 'ours',
      NONSTICK_ROLE: 'ours',
      DATABASE_URL: elsewhere(server.adminUrl, { database: 'theirs', user: 'theirs' }),
    }
    expect(jsonOf(await nonstick(['setup', '--json'], { env }))).toMatchObject({ database: 'ours', role: 'ours' })
  })
})

const couch = couchForThisFile()

describe('nonstick setup of CouchDB', () => {
  const env = (database: string): Record<string, string> => ({
    NONSTICK_BACKEND: `couchdb+${couch().url}`,
    NONSTICK_COUCHDB_DATABASE: database,
    NONSTICK_COUCHDB_CONNECT_TIMEOUT_MS: '60s',
    NONSTICK_COUCHDB_REQUEST_TIMEOUT_MS: '60s',
  })

  test('--print writes requests down, without a password, and touches nothing', async () => {
    const database = couch().pattern()
    const said = await nonstick(['setup', '--print'], { env: env(database) })
    expect(said).toMatchObject({ code: 0, stderr: '' })
    const names = [...said.stdout.matchAll(/"\$COUCHDB\/"'([^/?']+)\?n=1'/g)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(0)
    expect(said.stdout).toContain('_design/')
    const { password } = new URL(couch().url)
    if (password !== '') expect(said.stdout).not.toContain(password)
    for (const name of names) expect((await couch().ask(String(name))).status).toBe(404)
  })

  test('makes the databases of the months, and may run twice', async () => {
    const database = couch().pattern()
    const said = await nonstick(['setup', '--json'], { env: env(database) })
    expect(said).toMatchObject({ code: 0, stderr: '' })
    const { databases } = jsonOf<{ readonly databases: readonly string[] }>(said)
    expect(databases.length).toBeGreaterThan(0)
    for (const name of databases) expect((await couch().ask(name)).status).toBe(200)
    expect(await nonstick(['setup', '--json'], { env: env(database) })).toMatchObject({ code: 0, stdout: said.stdout })
  })

  test('refuses what only PostgreSQL has', async () => {
    const said = await nonstick(['setup', '--role', 'ann'], { env: env(couch().pattern()) })
    expect(said).toMatchObject({ code: 2, stdout: '' })
    expect(said.stderr).toContain('--role')
  })
})

describe('sql/reload in a checkout', () => {
  /** A checkout in which nothing is built. */
  const checkout = (name: string): string => {
    const place = join(folder, name)
    mkdirSync(place)
    for (const part of ['package.json', 'tsconfig.json', 'sql', 'src'])
      cpSync(join(root, part), join(place, part), { recursive: true })
    return place
  }

  test('runs the sources where nothing is built', async () => {
    const place = checkout('unbuilt')
    symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
    const said = await run(join(place, 'sql/reload'), ['--print'])
    expect(said).toMatchObject({ code: 0, stderr: '' })
    expect(said.stdout).toBe((await nonstick(['setup', '--print'])).stdout)
  })

  test('says what is missing where nothing is installed', async () => {
    const said = await run(join(checkout('uninstalled'), 'sql/reload'), ['--print'])
    expect(said).toMatchObject({ code: 1, stdout: '' })
    expect(said.stderr).toContain('npm install')
  })
})

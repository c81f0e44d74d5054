import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readArguments, readServer, UsageError } from '../../scripts/couchdb-runner/arguments.js'
import { complaintsAbout, databasesOf } from '../../scripts/couchdb-runner/databases.js'
import { type CouchdbServer, ownDatabases, startCouchdb, welcomeOf } from '../../scripts/servers/couchdb.js'
import { passingTo } from '../../scripts/servers/couchdb-wire.js'
import { waitUntil } from '../../scripts/servers/process.js'

test('the command line says how long chaos lasts, how often, and with which seed', () => {
  expect(readArguments([])).toEqual({ help: false, seconds: 60, runs: 1, seed: undefined })
  expect(readArguments(['--seconds', '10', '--runs=3', '--seed=7'])).toEqual({
    help: false,
    seconds: 10,
    runs: 3,
    seed: 7,
  })
})

test.each([[['--second', '10']], [['--seconds', '4']], [['--runs']], [['chaos']]])('refuses %j', (words) => {
  expect(() => readArguments(words)).toThrow(UsageError)
})

test('a server has to be named, and its password is not repeated', () => {
  expect(readServer('http://admin:s3cret@couch1:5984')).toBe('http://admin:s3cret@couch1:5984')
  for (const text of [undefined, '', 'admin:s3cret@couch1:5984', 'postgres://admin:s3cret@couch1']) {
    expect(() => readServer(text)).toThrow(/^Expected COUCHDB_URL to be a URL such as/)
    expect(() => readServer(text)).not.toThrow(/s3cret/)
  }
})

test('scripts/couchdb without a server ends with 2 and says what to do', () => {
  const program = fileURLToPath(new URL('../../scripts/couchdb', import.meta.url))
  const { status, stderr } = spawnSync(program, [], { encoding: 'utf8', env: { ...process.env, COUCHDB_URL: '' } })
  expect(status).toBe(2)
  expect(stderr).toContain('Expected COUCHDB_URL to be a URL')
}, 60_000)

test('what a run leaves behind is a complaint, what others make is none', () => {
  expect(complaintsAbout(['test_old'], ['test_old', 'orders', 'test_new-2026-11', 'nonstick-2026-11'])).toEqual([
    expect.stringMatching(/^test_new-2026-11 was left behind/),
  ])
})

test('a wire before a server passes its path and its name on', async () => {
  const asked: string[] = []
  const server = createServer(({ url = '', headers }, response) => {
    asked.push(`${headers.host}${url}`)
    response.end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `localhost:${(server.address() as AddressInfo).port}`
  const passing = await passingTo(`http://${host}/couch/`, () => {})
  await fetch(`${passing.url}/_all_dbs`)
  expect(asked).toEqual([`${host}/couch/_all_dbs`])
  await passing.close()
  server.close()
})

describe('databases of one’s own on a server that is somebody else’s', () => {
  let server: CouchdbServer
  beforeAll(async () => {
    server = await startCouchdb()
  })
  afterAll(() => server?.stop())

  const make = async (name: string): Promise<void> => {
    expect((await fetch(`${server.url}/${name}`, { method: 'PUT' })).status).toBe(201)
  }
  const nameIn = (pattern: string): string => pattern.replace('{yyyy}', '2026').replace('{mm}', '11')

  test('it is told from a CouchDB, and something else from both', async () => {
    expect(await welcomeOf(server.url)).toMatchObject({ isStandIn: true })
    await expect(welcomeOf(`${server.url}/no-such-place`)).rejects.toThrow(/^Expected a CouchDB at 127\.0\.0\.1/)
  })

  test('they go at the end, and those of others stay', async () => {
    const own = ownDatabases(server.url, 'nonstick_chaos_')
    const other = ownDatabases(server.url, 'nonstick_chaos_')
    await make(nameIn(own.pattern))
    await make(nameIn(other.pattern))
    await make('orders')
    await own.end()
    await own.end()
    expect(await databasesOf(server.url)).toEqual(expect.arrayContaining([nameIn(other.pattern), 'orders']))
    expect(await databasesOf(server.url)).not.toContain(nameIn(own.pattern))
    await other.end()
    expect(await databasesOf(server.url)).not.toContain(nameIn(other.pattern))
    expect(await databasesOf(server.url)).toContain('orders')
  })

  test('they go when the program is killed that made them', async () => {
    const program = [
      `import { ownDatabases } from ${JSON.stringify(new URL('../../scripts/servers/couchdb.ts', import.meta.url).href)}`,
      `console.log(ownDatabases(process.argv[1], 'nonstick_demo_').pattern)`,
      'setInterval(() => {}, 1_000)',
    ].join('\n')
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', program, '--', server.url],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [said] = (await once(child.stdout, 'data')) as [Buffer]
    const name = nameIn(said.toString('utf8').trim())
    await make(name)
    child.kill('SIGKILL')
    const isGone = async () => !(await databasesOf(server.url)).includes(name)
    await waitUntil(isGone, 15_000, () => `${name} stays`)
  })

  test('where the server cannot be reached at the end, that is said', async () => {
    const gone = await startCouchdb()
    const own = ownDatabases(gone.url, 'nonstick_demo_')
    await gone.stop()
    await expect(own.end()).rejects.toThrow(/remove them by hand/)
  })
})

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seed } from '../support/seed.js'
import { ownMemcached, ownPostgres, skipUnless } from '../support/servers.js'
import { type Servers, startServers } from './ground.js'
import { ROWS } from './rows/index.js'
import { runRow } from './run.js'

test('every row of the threat model has a program that tries it', () => {
  const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8')
  const table = page.slice(page.indexOf('## The threat model'), page.indexOf('## Before you go live'))
  const names = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(15)
  expect(ROWS.map(({ name }) => name).sort()).toEqual(names.sort())
})

const memcached = await ownMemcached()
const servers = typeof memcached === 'function' ? ownPostgres() : memcached

skipUnless('what the threat model says', servers, () => {
  let started: Servers
  beforeAll(async () => {
    started = await startServers()
  })
  afterAll(() => started?.stop())

  test.each(ROWS.map((row) => [row.name, row] as const))(
    'is so of `%s`: what is to hold holds, what defends is what holds it, and a limit is one',
    async (_, row) => {
      const said: string[] = []
      const { broken } = await runRow(started, row, seed, (line) => said.push(line))
      expect(broken, `seed ${seed}\n${said.join('\n')}`).toEqual([])
    },
    600_000,
  )
})

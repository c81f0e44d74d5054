import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findMemcached, freePort } from '../../../scripts/servers/index.js'
import { type MemcachedOptions, memcached } from '../../../src/caches/memcached/index.js'
import { frontCacheContract } from '../../../src/testing/front-cache-contract.js'
import { REFUSING } from '../../../src/testing/front-cache-rules/refusing.js'
import { type ScriptedMemcached, scriptedMemcached } from '../../../src/testing/scripted-memcached.js'
import { tlsMemcached } from '../../support/certificates.js'
import { absent, type MemcachedServer, ownMemcached, sharedMemcached, skipUnless } from '../../support/servers.js'
import { fillMemcached } from '../support/fill-memcached.js'
import { movedClock } from '../support/moved-clock.js'

/** Over real servers the rules run side by side, because they wait for the servers' clock. */
const contractOverReal = (name: string, options: () => MemcachedOptions): void => {
  // The machine is small and the rules are many at once; what the deadlines do has tests of its own.
  const open = () => memcached({ operationTimeoutMs: 10_000, connectTimeoutMs: 10_000, ...options() })
  frontCacheContract(test.concurrent, {
    name,
    open: async () => ({ cache: open(), another: async () => open() }),
    expiryResolutionMs: 2200,
  })
}

const own = await ownMemcached()

/** One that is full of values of this size and a key as the rules have it, and evicts nothing. */
const REFUSED_BYTES = 256

skipUnless('the front cache contract over one Memcached', await sharedMemcached(), ({ address }) => {
  contractOverReal('memcached', () => ({ servers: address }))
})

skipUnless('the front cache contract over a Memcached that is out of memory', own, (start) => {
  const name = 'full memcached'
  const titles = new Set(REFUSING.map(({ title }) => `${name}: ${title}`))
  const only = (title: string, run: () => Promise<void>): void => {
    if (titles.has(title)) test(title, run)
  }
  frontCacheContract(only, {
    name,
    open: () => Promise.reject(new Error('only the rules about refusals are run here')),
    openRefusing: async () => {
      const server = await start({ memoryMb: 2, extraArgs: ['-M'] })
      return {
        cache: memcached({ servers: server.address, operationTimeoutMs: 10_000, connectTimeoutMs: 10_000 }),
        refuseValues: () => fillMemcached(server.port, REFUSED_BYTES),
        close: () => server.stop(),
      }
    },
    expiryResolutionMs: 2200,
  })
})

skipUnless('the front cache contract over two Memcacheds of different weight', own, (start) => {
  let servers: MemcachedServer[] = []
  beforeAll(async () => {
    servers = await Promise.all([start(), start()])
  })
  afterAll(() => Promise.all(servers.map((server) => server.stop())))
  contractOverReal('two memcacheds', () => ({
    servers: servers.map(({ address }, index) => [address, index + 1] as const),
  }))
})

skipUnless('the front cache contract over a unix socket', own, (start) => {
  let server: MemcachedServer
  beforeAll(async () => {
    server = await start({ unixSocket: true })
  })
  afterAll(() => server.stop())
  contractOverReal('unix socket', () => ({ servers: `unix:${server.address}` }))
})

const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))

skipUnless('the front cache contract over IPv6', hasIPv6 ? own : absent('there is no ::1 here'), (start) => {
  let server: MemcachedServer
  beforeAll(async () => {
    server = await start({ port: await freePort(), extraArgs: ['-l', '::1'] })
  })
  afterAll(() => server.stop())
  contractOverReal('IPv6', () => ({ servers: [`[::1]:${server.port}`] }))
})

const CREDENTIALS = { username: 'alice', password: 'p@ss:wörd, with blanks' }

/** A folder that makes `memcached -S` know one user, or why there is none. */
const saslFolder = () => {
  const help = execFileSync(findMemcached() ?? 'memcached', ['-h'], { encoding: 'utf8' })
  if (!help.includes('--enable-sasl')) return absent('this memcached was built without SASL')
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-sasl-'))
  chmodSync(folder, 0o700)
  writeFileSync(join(folder, 'memcached.conf'), `mech_list: plain\nsasldb_path: ${join(folder, 'db')}\n`)
  const args = ['-p', '-c', '-a', 'memcached', '-f', join(folder, 'db'), '-u', hostname(), CREDENTIALS.username]
  try {
    execFileSync('saslpasswd2', args, { input: CREDENTIALS.password, stdio: ['pipe', 'ignore', 'ignore'] })
    return folder
  } catch {
    rmSync(folder, { recursive: true, force: true })
    return absent('there is no saslpasswd2 here (Debian: apt-get install sasl2-bin)')
  }
}

const sasl = typeof own === 'function' ? saslFolder() : own
afterAll(() => {
  if (typeof sasl === 'string') rmSync(sasl, { recursive: true, force: true })
})

const tls = await tlsMemcached()
afterAll(() => {
  if ('authority' in tls) tls.authority.remove()
})

skipUnless('the front cache contract through TLS', tls, ({ authority, start }) => {
  let server: MemcachedServer
  beforeAll(async () => {
    const { certFile, keyFile } = authority.issue()
    server = await start({ tls: { cert: certFile, key: keyFile, clientCa: authority.caFile } })
  })
  afterAll(() => server.stop())
  const { cert, key } = authority.issue()
  contractOverReal('TLS', () => ({
    servers: `memcacheds://${server.address}`,
    tls: { ca: authority.ca, cert, key },
  }))
})

skipUnless('a username and password inside TLS', typeof sasl === 'string' ? tls : sasl, ({ authority, start }) => {
  let server: MemcachedServer
  beforeAll(async () => {
    const { certFile, keyFile } = authority.issue()
    const env = { SASL_CONF_PATH: String(sasl) }
    server = await start({ tls: { cert: certFile, key: keyFile }, extraArgs: ['-S'], env })
  })
  afterAll(() => server.stop())

  const stateWith = async (password: string) => {
    const cache = memcached({ servers: server.address, tls: { ca: authority.ca }, ...CREDENTIALS, password })
    try {
      return await cache.health()
    } finally {
      await cache.close()
    }
  }

  test('let in whom the server knows, and nobody else', async () => {
    expect(await stateWith(CREDENTIALS.password)).toMatchObject({ state: 'up' })
    expect(await stateWith('another')).toMatchObject({ state: 'down', reason: expect.stringContaining('refused') })
  })
})

skipUnless('the front cache contract with a username and password', sasl, (folder) => {
  let server: MemcachedServer
  beforeAll(async () => {
    if (typeof own !== 'function') throw new Error('not reached: there is a folder only where there is a memcached')
    server = await own({ extraArgs: ['-S'], env: { SASL_CONF_PATH: folder } })
  })
  afterAll(() => server.stop())
  contractOverReal('SASL', () => ({ servers: server.address, ...CREDENTIALS }))
})

describe('the front cache contract over the scripted server', () => {
  const clock = movedClock()
  for (const place of ['port', 'unix socket', 'port with credentials'] as const) {
    let server: ScriptedMemcached
    let folder: string
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'nonstick-scripted-'))
      server = await scriptedMemcached({
        now: clock.now,
        ...(place === 'unix socket' ? { path: join(folder, 'm.sock') } : {}),
        ...(place === 'port with credentials' ? { credentials: CREDENTIALS } : {}),
      })
    })
    afterAll(async () => {
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const open = () =>
      memcached({
        servers: server.address,
        runtime: clock,
        ...(place === 'port with credentials' ? CREDENTIALS : {}),
      })
    frontCacheContract(test, {
      name: `scripted, ${place}`,
      open: async () => ({ cache: open(), another: async () => open() }),
      openRefusing: async () => {
        const full = await scriptedMemcached({ now: clock.now })
        return {
          cache: memcached({ servers: full.address, runtime: clock }),
          refuseValues: () => full.faults.add({ kind: 'status', status: 0x82 }, { on: ['add', 'set', 'replace'] }),
          close: () => full.close(),
        }
      },
      expiryResolutionMs: 2000,
      now: clock.now,
      advance: clock.advance,
    })
  }
})

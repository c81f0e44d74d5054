import { spawnSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findExecutable, findRedis, type RedisServer, startRedis } from '../../../scripts/servers/index.js'
import { type RedisOptions, redis } from '../../../src/backends/redis/index.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { Authority } from '../../support/certificates.js'
import { absent, type Found, skipUnless } from '../../support/skip.js'
import { textsIn } from '../../support/texts.js'
import { freshPrefix, PATIENCE } from './server.js'

/** An authority, where this redis-server speaks TLS. */
const tlsHere = (): Found<Authority> => {
  const command = findRedis()
  if (command === undefined) return absent('no redis-server here')
  if (findExecutable('openssl') === undefined) return absent('no openssl here to make certificates')
  const asked = spawnSync(command, ['-'], { input: 'port 0\ntls-port nonsense\n', encoding: 'utf8', timeout: 10_000 })
  // One that was built without TLS does not know the setting.
  if (/Bad directive/.test(asked.stdout + asked.stderr)) return absent('this redis-server was built without TLS')
  return new Authority()
}

skipUnless('TLS to a Redis', tlsHere(), (authority) => {
  const { ca } = authority
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const certified = (wishes?: Parameters<Authority['issue']>[0]) => {
    const { certFile, keyFile } = authority.issue(wishes)
    return { cert: certFile, key: keyFile }
  }
  const started = async (options: Parameters<typeof startRedis>[0]): Promise<RedisServer> => {
    const server = await startRedis(options)
    closing.push(() => server.stop())
    return server
  }
  const open = (options: RedisOptions) => {
    const backend = redis({ prefix: freshPrefix(), ...PATIENCE, ...options })
    closing.push(() => backend.close())
    return backend
  }
  const works = async (options: RedisOptions): Promise<void> => {
    const backend = open(options)
    const locator = sampleLocator()
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
    expect((await backend.read(locator)).state).toBe('live')
    expect((await backend.health()).state).toBe('up')
  }
  /** What the error of a change says, which never was applied and holds nothing that is nobody's business. */
  const complaint = async (options: RedisOptions): Promise<string> => {
    const raised = await open(options)
      .insert(sampleLocator(), storedSession())
      .then(
        () => undefined,
        (error: unknown) => error,
      )
    expect(raised).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
    expect(textsIn(raised).join('\n')).not.toMatch(/hunter2|BEGIN CERTIFICATE/)
    return (raised as Error).message
  }

  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis({ tls: certified(), unixSocket: true })
  }, 60_000)
  afterAll(async () => {
    await server.stop()
    authority.remove()
  })
  const url = (host = '127.0.0.1', of = server): string => `rediss://${host}:${of.tlsPort}`

  test.each(['127.0.0.1', 'localhost'])('works by a certificate for %s, in a database of its own', async (host) => {
    await works({ url: url(host), tls: { ca } })
    await works({ url: `${url(host)}/3`, tls: { ca: [ca] } })
  })

  test('works without any check only where that is asked for', async () => {
    await works({ url: url(), tls: { rejectUnauthorized: false } })
  })

  test('an authority that is not trusted here is told, with the option that mends it', async () => {
    for (const tls of [undefined, {}])
      expect(await complaint({ url: url(), ...(tls === undefined ? {} : { tls }) })).toMatch(
        /no certificate by an authority that is trusted here.*`tls\.ca` \((?:UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)/,
      )
  })

  test('a certificate for another name is told', async () => {
    const other = await started({ tls: certified({ names: 'DNS:redis1.example' }) })
    expect(await complaint({ url: url('127.0.0.1', other), tls: { ca } })).toMatch(
      /its certificate is for other names.*`tls\.servername` \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
    )
    await works({ url: url('127.0.0.1', other), tls: { ca, servername: 'redis1.example' } })
  })

  test('a certificate that has expired is told', async () => {
    const old = await started({ tls: certified({ days: -1 }) })
    expect(await complaint({ url: url('127.0.0.1', old), tls: { ca } })).toMatch(
      /its certificate has expired: renew it \(CERT_HAS_EXPIRED\)/,
    )
  })

  test('a server that speaks no TLS is told, and one that speaks nothing else', async () => {
    expect(await complaint({ url: `rediss://${server.address}`, tls: { ca }, connectTimeoutMs: 500 })).toMatch(
      /does not speak TLS on this port; then write `redis:\/\/`/,
    )
    expect(await complaint({ url: `redis://127.0.0.1:${server.tlsPort}` })).toMatch(/TLS.*`rediss:\/\/`/)
  })

  test('a listener is told as well what is wrong, also of a cluster', async () => {
    const heard: string[] = []
    const backend = open({
      url: `rediss+cluster://127.0.0.1:${server.tlsPort}`,
      log: (message) => heard.push(message),
      queryTimeoutMs: 3_000,
    })
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    expect(heard.join('\n')).toMatch(/trusted here.*`tls\.ca`/)
  })

  test('a server that wants a certificate of this program says so, and takes the right one', async () => {
    const asking = await started({ tls: { ...certified(), clientCa: authority.caFile } })
    expect(await complaint({ url: url('127.0.0.1', asking), tls: { ca } })).toMatch(
      /certificate of this program.*`tls\.cert`/,
    )
    const { cert, key } = authority.issue()
    await works({ url: url('127.0.0.1', asking), tls: { ca, cert, key } })
  })

  describe('a user and a password', () => {
    beforeAll(async () => {
      await server.ask('ACL', 'SETUSER', 'ann', 'on', '>hunter2 @/:?#%', '~*', '&*', '+@all')
      await server.ask('ACL', 'SETUSER', 'default', 'resetpass', '>alone')
    })

    test.each([
      ['through TLS', (login: string) => `rediss://${login}127.0.0.1:${server.tlsPort}/2`, { tls: { ca } }],
      ['in the clear', (login: string) => `redis://${login}127.0.0.1:${server.port}/2`, {}],
      ['by the socket', (login: string) => `unix://${login}${server.socket}?db=2`, {}],
    ])('in the URL, or beside it, let the program in %s', async (_name, place, more) => {
      await works({ url: place(`ann:${encodeURIComponent('hunter2 @/:?#%')}@`), ...more })
      await works({ url: place(''), username: 'ann', password: 'hunter2 @/:?#%', ...more })
      await works({ url: place(':alone@'), ...more })
      expect(await complaint({ url: place('ann:hunter22@'), ...more })).toContain('it refused the user or the password')
      expect(await complaint({ url: place(''), ...more })).toContain('it wants a password')
    })
  })
})

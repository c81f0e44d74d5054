import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { connect } from '../../../src/caches/memcached/connecting.js'
import { type MemcachedOptions, memcached } from '../../../src/caches/memcached/index.js'
import { resolveOptions } from '../../../src/caches/memcached/options.js'
import { OPCODE } from '../../../src/caches/memcached/protocol.js'
import { type FrontCache, serverListOf } from '../../../src/contract/front-cache.js'
import { quietRuntime } from '../../support/calendar.js'
import { Authority, type Certificate, tlsMemcached } from '../../support/certificates.js'
import { type MemcachedServer, skipUnless } from '../../support/servers.js'

const PATIENCE = { operationTimeoutMs: 10_000, connectTimeoutMs: 10_000, reconnectMinMs: 1 }
const CREDENTIALS = { username: 'alice', password: 'correct horse' }

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const open = (options: MemcachedOptions): FrontCache => {
  const cache = memcached({ ...PATIENCE, runtime: quietRuntime, checkSharedNames: false, ...options })
  closing.push(() => cache.close())
  return cache
}

const works = async (cache: FrontCache): Promise<void> => {
  const key = `tls-${Math.random()}`
  await cache.add(key, Buffer.from('through TLS'), quietRuntime.now() + 60_000)
  expect(Buffer.from((await cache.get(key))?.value ?? []).toString()).toBe('through TLS')
  expect(await cache.health()).toMatchObject({ state: 'up' })
}

/** What a call says that fails, which health says too, and which holds nothing of a certificate. */
const complaint = async (options: MemcachedOptions): Promise<string> => {
  const cache = open(options)
  const error = await cache.get('k').catch((raised: unknown) => raised)
  expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', answered: false })
  expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/BEGIN|certificate of a test|horse|pubkey/)
  await expect(cache.set('k', Buffer.from('v'), quietRuntime.now() + 60_000)).rejects.toMatchObject({ applied: 'no' })
  const { message } = error as Error
  const health = await cache.health()
  expect(health.state).toBe('down')
  expect(message).not.toMatch(/did not answer|no connection within/)
  // The two ways in which one server can hang up may take turns.
  if (!message.includes('hung up')) expect(message).toContain(health.reason)
  return message
}

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

skipUnless('TLS to a Memcached', await tlsMemcached(), ({ authority, start }) => {
  const { ca } = authority
  afterAll(() => authority.remove())

  const started = async (certificate: Certificate, clientCa?: string): Promise<MemcachedServer> => {
    const asks = clientCa === undefined ? {} : { clientCa }
    const server = await start({ tls: { cert: certificate.certFile, key: certificate.keyFile, ...asks } })
    closing.push(() => server.stop())
    return server
  }

  describe('with a certificate for this host', () => {
    let server: MemcachedServer
    beforeAll(async () => {
      const { certFile, keyFile } = authority.issue()
      server = await start({ tls: { cert: certFile, key: keyFile } })
    })
    afterAll(() => server.stop())

    test.each([
      ['an address', '127.0.0.1'],
      ['a name', 'localhost'],
    ])('works where the server is listed by %s', async (_, host) => {
      await works(open({ servers: `${host}:${server.port}`, tls: { ca } }))
      await works(open({ servers: [[`memcacheds://${host}:${server.port}/`, 2]], tls: { ca: () => [ca] } }))
    })

    test('is not trusted without its authority', async () => {
      for (const tls of [true, undefined, {}])
        expect(
          await complaint({ servers: `memcacheds://${server.address}`, ...(tls === undefined ? {} : { tls }) }),
        ).toMatch(/by an authority that is trusted here.*`tls\.ca` \(UNABLE_TO_/)
    })

    test('is not trusted for what an environment variable says, but only where that is asked for by name', async () => {
      const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
      try {
        expect(await complaint({ servers: server.address, tls: true })).toContain('`tls.ca`')
      } finally {
        if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
        else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
      }
      await works(open({ servers: server.address, tls: { rejectUnauthorized: false } }))
    })

    test('is not taken for another host, unless it is asked for by a name that it has', async () => {
      expect(await complaint({ servers: server.address, tls: { ca, servername: 'cache1.example' } })).toMatch(
        /a certificate for cache1\.example, and .* for other names.*ERR_TLS_CERT_ALTNAME_INVALID/,
      )
      await works(open({ servers: server.address, tls: { ca, servername: 'localhost' } }))
    })

    test('does not let a client in without TLS, who is told what to do', async () => {
      expect(await complaint({ servers: server.address })).toMatch(/TLS.*`?tls: true`?/i)
      expect(await complaint({ servers: server.address, ...CREDENTIALS })).toMatch(/TLS.*`?tls: true`?/i)
    })

    test('speaks no version that is not wanted', async () => {
      await works(open({ servers: server.address, tls: { ca, minVersion: 'TLSv1.3' } }))
    })
  })

  test('a name that leads to the server by one of its addresses is checked as it is listed', async () => {
    const server = await started(authority.issue({ names: 'DNS:localhost' }))
    expect(await complaint({ servers: server.address, tls: { ca } })).toContain('for 127.0.0.1, and')
    await works(open({ servers: `localhost:${server.port}`, tls: { ca } }))
    const options = resolveOptions({ ...PATIENCE, servers: server.address, tls: { ca } })
    const target = { host: '127.0.0.1', port: server.port, name: 'localhost' }
    const connection = await connect({ address: 'localhost', weight: 1, target }, options, new AbortController().signal)
    connection.retire()
  })

  test('a certificate that has expired is refused', async () => {
    const server = await started(authority.issue({ days: -1 }))
    expect(await complaint({ servers: server.address, tls: { ca } })).toMatch(/expired: renew it \(CERT_HAS_EXPIRED\)/)
  })

  test('a certificate that signs itself is trusted by giving it, and not else', async () => {
    const certificate = authority.issue({ signsItself: true })
    const server = await started(certificate)
    expect(await complaint({ servers: server.address, tls: true })).toMatch(/`tls\.ca` \(DEPTH_ZERO_SELF_SIGNED_CERT\)/)
    await works(open({ servers: server.address, tls: { ca: certificate.cert } }))
  })

  test('a server that asks for a certificate takes those of its authority alone', async () => {
    const server = await started(authority.issue(), authority.caFile)
    const other = new Authority()
    closing.push(() => other.remove())
    const [{ cert, key }, stranger] = [authority.issue(), other.issue()]
    expect(await complaint({ servers: server.address, tls: { ca } })).toMatch(
      /certificate of this program.*`tls\.cert`/,
    )
    expect(await complaint({ servers: server.address, tls: { ca, cert: stranger.cert, key: stranger.key } })).toMatch(
      /certificate of this program.*`tls\.cert`/,
    )
    await works(open({ servers: server.address, tls: { ca, cert, key: () => Buffer.from(key) } }))
  })

  test('a Memcached without TLS is told at once, and is sent nothing', async () => {
    const server = await start()
    closing.push(() => server.stop())
    expect(await complaint({ servers: `memcacheds://${server.address}`, ...CREDENTIALS })).toMatch(
      /it was to speak TLS, and answered something else: leave out `tls`/,
    )
    const binary = await start({ extraArgs: ['-B', 'binary'] })
    closing.push(() => binary.stop())
    expect(await complaint({ servers: binary.address, tls: true })).toMatch(/it was to speak TLS, and hung up/)
  })

  test('certificates that are renewed under a running program are used from the next connection on', async () => {
    const next = new Authority()
    closing.push(() => next.remove())
    const [before, after] = [authority.issue(), next.issue()]
    const server = await started(before)
    let trusted = ca
    const cache = open({ servers: server.address, tls: { ca: () => trusted } })
    await works(cache)
    // The server takes its new certificate from the same files.
    writeFileSync(before.certFile, after.cert)
    writeFileSync(before.keyFile, after.key)
    await server.restart()
    await expect.poll(() => cache.get('k').catch((error: Error) => error.message)).toMatch(/`tls\.ca`/)
    trusted = next.ca
    await expect.poll(() => cache.get('k').catch((error: Error) => error.message)).toBeUndefined()
    await works(cache)
  })

  test.each([
    ['throws', () => readFileSync('/nowhere/ca.pem', 'utf8'), /`tls\.ca` threw an error \(ENOENT\)/],
    ['gives a path', () => '/nowhere/ca.pem', /`tls\.ca` gave something else than the contents of a file in PEM/],
    ['gives a promise', async () => ca, /`tls\.ca` gave something else.*not a promise/],
    ['gives what is no certificate', () => '-----BEGIN CERTIFICATE-----\nx', /Expected `tls` to be certificates/],
  ])('a function that %s is told of, and asked again later', async (_, wrong, words) => {
    const server = await started(authority.issue())
    expect(await complaint({ servers: server.address, tls: { ca: wrong as () => string } })).toMatch(words)
    let give: () => string = wrong as () => string
    const cache = open({ servers: server.address, tls: { ca: () => give() } })
    await expect(cache.get('k')).rejects.toThrow(words)
    give = () => ca
    await expect.poll(() => cache.get('k').catch((error: Error) => error.message)).toBeUndefined()
  })

  test('nothing is sent before the server has proved who it is', async () => {
    const { cert, key } = authority.issue({ names: 'DNS:another.example' })
    let received = 0
    let shaken = 0
    const server = createTlsServer({ cert, key }, (socket) => {
      shaken += 1
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length
      })
    })
    server.on('tlsClientError', () => {})
    const port = await listen(server)
    for (const servers of [`127.0.0.1:${port}`, `localhost:${port}`])
      expect(await complaint({ servers, tls: { ca }, ...CREDENTIALS })).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
    // The handshake itself is over for the server, which is when a client that does not look would send.
    await open({ servers: `127.0.0.1:${port}`, tls: { rejectUnauthorized: false }, operationTimeoutMs: 1_000 })
      .get('k')
      .catch(() => {})
    await expect.poll(() => shaken).toBeGreaterThan(0)
    const withoutCheck = received
    expect(withoutCheck).toBeGreaterThan(0)
    expect(await complaint({ servers: `127.0.0.1:${port}`, tls: { ca }, ...CREDENTIALS })).toContain('ALTNAME')
    expect(received).toBe(withoutCheck)
  })

  test('a server that takes connections and says nothing is said to hang, or to speak no TLS', async () => {
    const port = await listen(createServer((socket) => socket.resume()))
    const options = { servers: `127.0.0.1:${port}`, tls: { ca }, connectTimeoutMs: 200, ...CREDENTIALS }
    expect(await complaint(options)).toMatch(/within 200 ms it was not through with the handshake of TLS: it hangs, or/)
  })

  test('a server that hangs up on the greeting is told of', async () => {
    for (const hangUp of [(socket: Socket) => socket.resetAndDestroy(), (socket: Socket) => socket.end()]) {
      const port = await listen(createServer((socket) => socket.once('data', () => hangUp(socket))))
      expect(await complaint({ servers: `127.0.0.1:${port}`, tls: { ca } })).toMatch(/speaks no TLS on this port/)
    }
  })

  test('what a late server has not read yet is dropped: the connection ends with a reset', async () => {
    const { cert, key } = authority.issue()
    const resets: (string | undefined)[] = []
    const server = createTlsServer({ cert, key }, (socket) => {
      socket.resume().on('error', (error: NodeJS.ErrnoException) => resets.push(error.code))
    })
    const port = await listen(server)
    const cache = open({ servers: `127.0.0.1:${port}`, tls: { ca }, connectTimeoutMs: 300 })
    await expect(cache.get('k')).rejects.toThrow('it did not answer within 300 ms')
    await expect.poll(() => resets).toEqual(['ECONNRESET'])
  })

  test('many calls and large values pass, and each gets its own answer', async () => {
    const { certFile, keyFile } = authority.issue()
    const server = await start({ memoryMb: 512, tls: { cert: certFile, key: keyFile } })
    closing.push(() => server.stop())
    const cache = open({ servers: server.address, tls: { ca } })
    const values = Array.from({ length: 40 }, (_, index) => Buffer.alloc(index * 20_000 + 1, index))
    await Promise.all(values.map((value, index) => cache.set(`k${index}`, value, quietRuntime.now() + 60_000)))
    const found = await Promise.all(values.map((_, index) => cache.get(`k${index}`)))
    const isWrong = (value: Buffer, index: number): boolean => !value.equals(found[index]?.value ?? Buffer.alloc(0))
    expect(values.filter(isWrong).map(({ length }) => length)).toEqual([])
  })

  test.each<[string, number[]]>([
    ['a small one after a large one', [30_000, 10]],
    ['three that nearly fill a record of TLS each', [16_000, 16_000, 16_000]],
    ['small ones between large ones', [10, 200_000, 10, 10, 40_000, 10]],
    ['several that fill a record together', Array.from({ length: 7 }, () => 5_000)],
    ['thousands of all sizes', [...Array.from({ length: 2_000 }, (_, n) => (n * 37) % 700), 17_000, 10]],
  ])('no request waits behind another that was sent together with it: %s', async (_, sizes) => {
    const server = await started(authority.issue())
    const cache = open({ servers: server.address, tls: { ca } })
    await cache.get('connected')
    const expiresAt = quietRuntime.now() + 60_000
    await Promise.all(sizes.map((size, n) => cache.set(`k${n}`, Buffer.alloc(size, n), expiresAt)))
    const found = await Promise.all(sizes.map((_, n) => cache.get(`k${n}`)))
    expect(found.map((entry) => entry?.value.length)).toEqual(sizes)
  })

  test('a connection is ended by the death of its server, and made anew', async () => {
    const server = await started(authority.issue())
    const cache = open({ servers: server.address, tls: { ca } })
    await works(cache)
    await server.kill9()
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    await server.restart()
    await expect.poll(() => cache.health()).toMatchObject({ state: 'up' })
    await works(cache)
  })

  test('the connection itself answers a greeting through TLS', async () => {
    const server = await started(authority.issue())
    const options = resolveOptions({ ...PATIENCE, servers: `memcacheds://${server.address}`, tls: { ca } })
    const [address] = options.servers
    if (address === undefined) throw new Error('no server')
    expect(address.address).toBe(server.address)
    const connection = await connect(address, options, new AbortController().signal)
    expect((await connection.request({ opcode: OPCODE.noop }, 5_000)).response.status).toBe(0)
    connection.retire()
  })

  describe('what the options may be', () => {
    const { cert, key } = authority.issue()
    const other = authority.issue()
    test.each<[string, object, RegExp | string]>([
      ['a text', { tls: 'true' }, 'Expected `tls` to be true, false, or an object such as `{ ca }`, got a string'],
      ['a misspelt option', { tls: { servarname: 'x' } }, /`tls\.servarname` to be left out.*`servername`/],
      ['another client’s option', { tls: { checkServerIdentity: () => undefined } }, '`tls.checkServerIdentity`'],
      [
        'a path as the authority',
        { tls: { ca: '/etc/ca.pem' } },
        /`tls\.ca`.*got a string: give the contents of the file/,
      ],
      ['an empty list', { tls: { ca: [] } }, '`tls.ca`'],
      ['a list with a path', { tls: { ca: [ca, '/etc/ca.pem'] } }, '`tls.ca`'],
      ['a certificate without its key', { tls: { cert } }, /`tls\.key` to be given/],
      ['a key without its certificate', { tls: { key } }, /`tls\.cert` to be given/],
      ['a key of another certificate', { tls: { cert, key: other.key } }, /that can be used together \(ERR_OSSL/],
      ['a passphrase without a key', { tls: { passphrase: 'hunter2' } }, '`tls.key`'],
      [
        'an address as the name',
        { tls: { servername: '127.0.0.1' } },
        /`tls\.servername`.*list the server by its address/,
      ],
      ['a name with a port', { tls: { servername: 'cache1:11211' } }, /`tls\.servername`.*without a port/],
      ['an old version', { tls: { minVersion: 'TLSv1' } }, '`tls.minVersion`'],
      [
        'what is no certificate',
        { tls: { ca: '-----BEGIN CERTIFICATE-----\nx' } },
        /that can be used together \(ERR_OSSL/,
      ],
      ['no ciphers', { tls: { ciphers: 'NONE-SUCH' } }, 'Expected `tls` to be'],
      [
        'a half-hearted check',
        { tls: { rejectUnauthorized: 'false' } },
        '`tls.rejectUnauthorized` to be true or false',
      ],
      [
        'a unix socket',
        { servers: '/run/memcached.sock', tls: true },
        /`servers`.*a unix socket never leaves the machine/,
      ],
      ['a unix socket among others', { servers: ['a', '/run/m.sock'], tls: { ca } }, /`servers`.*unix socket/],
      ['a unix socket in a URL', { servers: 'memcacheds:///run/m.sock' }, /`servers`.*unix socket/],
      ['memcacheds:// without TLS', { servers: 'memcacheds://a', tls: false }, /`tls` to be true or left out/],
      ['both schemes', { servers: 'memcached://a,memcacheds://b' }, /`servers`.*begin each with `memcacheds:\/\/`/],
      ['another scheme', { servers: 'redis://a' }, '`servers` to be an address like'],
      ['a scheme twice', { servers: 'memcacheds://memcacheds://a' }, '`servers` to be an address like'],
      ['a path in the URL', { servers: 'memcacheds://a:1/x' }, '`servers` to be an address like'],
      ['a login in the URL', { servers: 'memcacheds://ann:hunter2@a' }, 'an address without credentials'],
      ['one server twice', { servers: ['memcacheds://a', 'a'] }, 'a server that is listed only once'],
    ])('%s is refused', (_, options, words) => {
      const make = () => memcached({ servers: 'cache1', ...options } as MemcachedOptions)
      expect(make).toThrow(words)
      expect(make).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
      expect(make).not.toThrow(/hunter2|BEGIN|etc/)
    })

    test('one `memcacheds://` asks for TLS with all servers, and moves no key', () => {
      const listed = resolveOptions({ servers: 'memcacheds://cache1,Cache2:1' })
      expect(listed.tls).toEqual({})
      expect(listed.servers.map(({ address }) => address)).toEqual(['cache1:11211', 'cache2:1'])
      expect(resolveOptions({ servers: 'memcached://cache1' }).tls).toBeUndefined()
      expect(resolveOptions({ servers: 'memcached://cache1', tls: true }).tls).toEqual({})
      const numbers = ['a,b', 'memcacheds://a,memcacheds://b'].map((servers) => serverListOf(memcached({ servers })))
      expect(new Set(numbers).size).toBe(1)
    })
  })
})

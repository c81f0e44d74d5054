import { describe, expect, test } from 'vitest'
import { type MemcachedOptions, memcached } from '../../../src/caches/memcached/index.js'
import { parseServers } from '../../../src/caches/memcached/servers.js'

const addresses = (servers: unknown): string[] => parseServers(servers).map(({ address }) => address)

describe('the option servers', () => {
  test.each([
    ['host', ['host:11211']],
    ['host1:11211,host2:11212', ['host1:11211', 'host2:11212']],
    [' host1 , Host2:1 ', ['host1:11211', 'host2:1']],
    [
      ['host1', 'host2:11212'],
      ['host1:11211', 'host2:11212'],
    ],
    ['127.0.0.1:65535', ['127.0.0.1:65535']],
    ['[::1]:11211', ['[::1]:11211']],
    ['[::1]', ['[::1]:11211']],
    ['::1', ['[::1]:11211']],
    ['2001:DB8::0:1', ['[2001:db8::1]:11211']],
    ['fe80::1%eth0', ['[fe80::1%eth0]:11211']],
    ['/run/memcached.sock', ['unix:/run/memcached.sock']],
    ['unix:/run/memcached.sock', ['unix:/run/memcached.sock']],
    ['/run/a@b.sock', ['unix:/run/a@b.sock']],
    ['::1,/run/m.sock,host', ['[::1]:11211', 'unix:/run/m.sock', 'host:11211']],
    [
      [['host1:11211', 1], 'host2', ['[::1]:1', 0.5]],
      ['host1:11211', 'host2:11211', '[::1]:1'],
    ],
  ])('takes %j', (servers, expected) => {
    expect(addresses(servers)).toEqual(expected)
  })

  test('keeps the weights, and counts 1 where there is none', () => {
    const weighted = parseServers([['host1:11211', 1], ['host2:11211', 2], ['host3', 0.25], 'host4'])
    expect(weighted.map(({ weight }) => weight)).toEqual([1, 2, 0.25, 1])
  })

  test.each([
    [
      undefined,
      'Expected `servers` to be at least one server, `host:port` or a list of them with their weights, got nothing',
    ],
    [
      [],
      'Expected `servers` to be at least one server, `host:port` or a list of them with their weights, got an array of 0',
    ],
    [11211, '`servers` to be at least one server'],
    ['', '`servers` to be an address like'],
    ['host1,,host2', '`servers` to be an address like'],
    ['http://host:11211', '`servers` to be an address like'],
    ['host:port', '`servers` to be an address like'],
    ['host:0', 'Expected `servers` to be an address with a port from 1 to 65535, got a string'],
    ['host:65536', '`servers` to be an address with a port from 1 to 65535'],
    ['[::1:11211', '`servers` to be an address like'],
    ['[host]:11211', '`servers` to be an address like'],
    ['unix:run/m.sock', '`servers` to be an address like'],
    ['/', '`servers` to be an address like'],
    [['host', 2], '`servers[1]` to be an address, or an address with its weight'],
    [
      [
        ['host1', 1],
        ['host two', 1],
      ],
      '`servers[1][0]` to be an address like',
    ],
    [
      [
        ['host1', 1],
        [7, 1],
      ],
      '`servers[1][0]` to be an address like',
    ],
    [[['host1', 1], ['host2']], '`servers[1]` to be an address, or an address with its weight'],
    [[['host1', 0]], 'Expected `servers[0][1]` to be a weight greater than 0, got 0 (number)'],
    [[['host1', -1]], '`servers[0][1]` to be a weight greater than 0'],
    [[['host1', Number.NaN]], '`servers[0][1]` to be a weight greater than 0'],
    [[['host1', Number.POSITIVE_INFINITY]], '`servers[0][1]` to be a weight greater than 0'],
    [[['host1', '2']], 'Expected `servers[0][1]` to be a weight greater than 0, got a string'],
    [
      [
        ['host1:11211', 1],
        ['HOST1', 2],
      ],
      'Expected `servers[1][0]` to be a server that is listed only once, got a string',
    ],
    ['::1,[0:0:0:0:0:0:0:1]:11211', 'Expected `servers` to be a server that is listed only once'],
    ['/run/m.sock,unix:/run/m.sock', 'Expected `servers` to be a server that is listed only once'],
  ])('refuses %j and names the place as it was typed', (servers, message) => {
    expect(() => parseServers(servers)).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', message: expect.stringContaining(message) }),
    )
  })

  test.each([
    'alice:s3cret@host:11211',
    'host1,alice:s3,cret@host2',
    [['alice:s3cret@host', 1]],
    ['host1', 'x:s3cret@host2'],
  ])('refuses credentials in an address without repeating them (%#)', (servers) => {
    const complaint = (() => {
      try {
        return String(parseServers(servers))
      } catch (error) {
        return String(error)
      }
    })()
    expect(complaint).toContain('an address without credentials')
    expect(complaint).not.toMatch(/s3|cret|alice/)
  })
})

describe('the options of memcached', () => {
  const servers = 'host'
  test.each([
    [undefined, '`memcached(options)` to be an object such as `{ servers }`, got nothing'],
    ['alice:s3cret@host', '`memcached(options)` to be an object such as `{ servers }`, got a string'],
    [
      { servers, operationTimeoutMs: 0 },
      '`operationTimeoutMs` to be a whole number of milliseconds from 1 to 2147483647, got 0',
    ],
    [{ servers, operationTimeoutMs: 2 ** 31 }, '`operationTimeoutMs` to be a whole number'],
    [{ servers, connectTimeoutMs: 1.5 }, '`connectTimeoutMs` to be a whole number'],
    [{ servers, connectTimeoutMs: '1000' }, '`connectTimeoutMs` to be a whole number'],
    [{ servers, reconnectMinMs: 0 }, '`reconnectMinMs` to be a whole number of milliseconds from 1'],
    [
      { servers, reconnectMinMs: 300, reconnectMaxMs: 200 },
      '`reconnectMaxMs` to be a whole number of milliseconds from 300 (`reconnectMinMs`) to 2147483647, got 200',
    ],
    [{ servers: 20_261_129 }, 'list of them with their weights, got a number'],
    [
      { servers: [20_261_129] },
      "`servers[0]` to be an address, or an address with its weight like `['cache1:11211', 1]`, got a number",
    ],
    [{ servers: [[20_261_129, 1]] }, '`servers[0][0]` to be an address like `cache1:11211`, got a number'],
    [{ servers, maxInFlight: 0 }, '`maxInFlight` to be a whole number from 1 to 1000000, got 0'],
    [{ servers, maxInFlight: 1e7 }, '`maxInFlight` to be a whole number from 1 to 1000000'],
    [
      { servers, operationTimeoutMS: 100 },
      '`operationTimeoutMS` to be left out: there is no such option (did you mean `operationTimeoutMs`?)',
    ],
    [{ servers, pasword: 's3cret' }, '`pasword` to be left out: there is no such option (did you mean `password`?)'],
    [{ servers, runtime: Date }, '`runtime` to be a Runtime, got a function'],
    [{ servers, log: console }, '`log` to be a function, got an object'],
    [{ servers, checkSharedNames: 'no' }, '`checkSharedNames` to be true or false, got a string'],
    [{ servers, placement: 'ketama' }, '`placement` to be a function, got a string'],
    [
      { servers, username: 'alice' },
      '`password` to be a string that is not empty (username and password are given together), got nothing',
    ],
    [
      { servers, password: 's3cret' },
      '`username` to be a string that is not empty (username and password are given together), got nothing',
    ],
    [{ servers, username: 'alice', password: '' }, '`password` to be a string that is not empty'],
    [{ servers, username: 'alice', password: 's3\0cret' }, '`password` to be a string that is not empty'],
  ])('%j is refused by name', (options, message) => {
    const make = (): unknown => memcached(options as unknown as MemcachedOptions)
    expect(make).toThrow(expect.objectContaining({ code: 'E_CONFIG', message: expect.stringContaining(message) }))
    expect(make).not.toThrow(/s3|cret/)
  })

  test('a placement that names no server is a mistake in the options', async () => {
    const cache = memcached({ servers: 'host1,host2', placement: () => () => 2 })
    await expect(cache.get('k')).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: 'Expected `placement` to be a function that returns an index below 2, got 2 (number)',
    })
    await cache.close()
  })
})

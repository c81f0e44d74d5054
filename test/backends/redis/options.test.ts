import { describe, expect, test } from 'vitest'
import { redis } from '../../../src/backends/redis/index.js'
import { type RedisOptions, resolveRedisOptions } from '../../../src/backends/redis/options.js'
import { placeOf } from '../../../src/backends/redis/places.js'

describe('a URL says where Redis is', () => {
  const noLogin = { login: undefined, isSecure: false }
  test.each([
    ['redis://db', { kind: 'server', at: { host: 'db', port: 6379 }, database: 0, ...noLogin }],
    ['redis://db:7000/3', { kind: 'server', at: { host: 'db', port: 7000 }, database: 3, ...noLogin }],
    ['redis://[::1]:7000', { kind: 'server', at: { host: '::1', port: 7000 }, database: 0, ...noLogin }],
    [
      'rediss://ann:p%40ss%3A@db/1',
      {
        kind: 'server',
        at: { host: 'db', port: 6379 },
        database: 1,
        login: { username: 'ann', password: 'p@ss:' },
        isSecure: true,
      },
    ],
    [
      'redis://:secret@db',
      {
        kind: 'server',
        at: { host: 'db', port: 6379 },
        database: 0,
        login: { username: undefined, password: 'secret' },
        isSecure: false,
      },
    ],
    ['unix:///run/redis.sock', { kind: 'server', at: { path: '/run/redis.sock' }, database: 0, ...noLogin }],
    [
      'unix://:secret@/run/redis.sock?db=4',
      {
        kind: 'server',
        at: { path: '/run/redis.sock' },
        database: 4,
        login: { username: undefined, password: 'secret' },
        isSecure: false,
      },
    ],
    [
      'redis+cluster://a:1,b',
      {
        kind: 'cluster',
        nodes: [
          { host: 'a', port: 1 },
          { host: 'b', port: 6379 },
        ],
        ...noLogin,
      },
    ],
    [
      'redis+sentinel://a,b:5/mymaster/2',
      {
        kind: 'sentinel',
        nodes: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 5 },
        ],
        name: 'mymaster',
        database: 2,
        ...noLogin,
      },
    ],
  ])('%s', (url, place) => {
    expect(placeOf(url)).toEqual(place)
  })

  test.each([
    ...['', 'db', 'http://db', 'redis://', 'redis:///3', 'redis://a,b', 'redis://db/x', 'redis://db/1/2'],
    ...['redis://db:0', 'redis://db:70000', 'redis://pass/word@db', 'redis://ann:%zz@db', 'redis+cluster://a/1'],
    ...['redis+sentinel://a', 'redis+sentinel://a/m/x', 'unix://relative.sock', 'redis://db?x=1'],
  ])('and "%s" says nothing', (url) => {
    expect(placeOf(url)).toBeUndefined()
  })
})

describe('a mistake in the options is refused with E_CONFIG, and shows no secret', () => {
  const SECRET = 'hunter2'
  test.each<readonly [string, unknown, RegExp]>([
    ['nothing', {}, /`url`/],
    ['a URL of something else', { url: `http://:${SECRET}@db` }, /`url`/],
    [
      'a URL and a client',
      { url: 'redis://db', client: { isOpen: true, sendCommand: () => {}, duplicate: () => {} } },
      /`url` to be left out/,
    ],
    ['a client that is none', { client: { connect: () => {} } }, /`client`/],
    ['a password twice', { url: `redis://:${SECRET}@db`, password: SECRET }, /`password`/],
    ['a user without a password', { url: 'redis://db', username: 'ann' }, /`password`/],
    ['TLS without rediss', { url: 'redis://db', tls: {} }, /`tls`.*rediss/],
    ['braces in the prefix', { url: 'redis://db', prefix: '{x}' }, /`prefix`/],
    ['a wait without an end', { url: 'redis://db', wait: { replicas: 1 } }, /`wait.timeoutMs`/],
    ['a wait for nobody', { url: 'redis://db', wait: { replicas: 0, timeoutMs: 5 } }, /`wait.replicas`/],
    [
      'a wait as long as the call',
      { url: 'redis://db', queryTimeoutMs: 500, wait: { replicas: 1, timeoutMs: 500 } },
      /`wait.timeoutMs`.*`queryTimeoutMs`/,
    ],
    ['an unknown option', { url: 'redis://db', prefx: 'x' }, /`prefx`.*`prefix`/],
  ])('%s', (_, options, words) => {
    const refused = (): unknown => redis(options as RedisOptions)
    expect(refused).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    expect(refused).toThrow(words)
    expect(refused).not.toThrow(new RegExp(SECRET))
  })
})

test('what is left out has its default', () => {
  expect(resolveRedisOptions({ url: 'redis://db' })).toMatchObject({
    prefix: 'nonstick:',
    wait: undefined,
    purgeGraceMs: 86_400_000,
    maxDataBytes: 16_777_216,
    queryTimeoutMs: 2_000,
  })
})

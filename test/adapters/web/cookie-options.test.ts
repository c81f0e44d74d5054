import { describe, expect, test } from 'vitest'
import { type CookieOptions, createWebSessions } from '../../../src/adapters/web.js'
import { KEYS, openTiers } from './served.js'

const complaint = (options: unknown): string => {
  try {
    createWebSessions(options as Parameters<typeof createWebSessions>[0])
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    return (error as Error).message
  }
  return 'nothing'
}

const { sessions } = openTiers()
const [key] = KEYS
const withCookie = (cookie: object): string => complaint({ sessions, cookie: { keys: key, ...cookie } })

describe('wrong options', () => {
  test.each([
    ['no key', { keys: undefined }, /`cookie\.keys`.*environment variable.*openssl rand -base64 32/],
    ['an empty list of keys', { keys: [] }, /`cookie\.keys`.*openssl/],
    ['a short key', { keys: 'short' }, /at least 32 characters.*key 1 is too short.*openssl/],
    ['a short key among others', { keys: [key, 'short'] }, /key 2 is too short/],
    ['a key that is missing in the environment', { keys: [key, undefined] }, /key 2 is no text \(is its environment/],
    ['the same key twice', { keys: [key, key] }, /different/],
    ['a name that no cookie can have', { name: 'my session' }, /`cookie\.name`.*a name of a cookie/],
    ['a name with a semicolon', { name: 'sid;x' }, /`cookie\.name`/],
    ['a domain with a port', { domain: 'example.com:80' }, /`cookie\.domain`.*a domain such as/],
    ['an empty domain', { domain: '' }, /`cookie\.domain`.*leave it out/],
    ['a path without its slash', { path: 'app' }, /`cookie\.path`.*begins with `\/`/],
    ['a path that would be another attribute', { path: '/;Domain=evil.example' }, /`cookie\.path`/],
    ['`__Host-` with a domain', { name: '__Host-sid', domain: 'example.com' }, /`cookie\.domain`.*left out.*`__Host-`/],
    ['`__Host-` with a path', { name: '__Host-sid', path: '/app' }, /`cookie\.path`.*`__Host-`.*choose a name/],
    ['`__Host-` without TLS', { name: '__Host-sid', secure: false }, /`cookie\.name`.*`secure: true`/],
    ['`__host-` in small letters', { name: '__host-sid', secure: false }, /`cookie\.name`/],
    ['`__Secure-` without TLS', { name: '__Secure-sid', secure: false }, /`cookie\.name`/],
    ['SameSite=None without TLS', { sameSite: 'none', secure: false }, /`cookie\.sameSite`.*`secure: true`/],
    ['a partitioned cookie without TLS', { partitioned: true, secure: false }, /`cookie\.partitioned`.*`secure: true`/],
    ['another SameSite', { sameSite: 'Lax' }, /`cookie\.sameSite`.*did you mean `lax`/],
    ['a lifetime in seconds', { maxAgeMs: 60 }, /`cookie\.maxAgeMs`.*milliseconds/],
    ['a lifetime of two years', { maxAgeMs: 2 * 365 * 86_400_000 }, /`cookie\.maxAgeMs`/],
    ['an option by another library’s name', { maxAge: 3_600 }, /`cookie\.maxAge`.*did you mean `maxAgeMs`/],
    ['a cookie that scripts can read', { httpOnly: false }, /`cookie\.httpOnly`.*no such option/],
  ])('%s is refused, with the cure', (_what, cookie, words) => {
    expect(withCookie(cookie)).toMatch(words)
  })

  test('of the sessions themselves are refused as well, and none shows a key', () => {
    expect(complaint({ cookie: { keys: key } })).toMatch(/`sessions`.*createSessionStore/)
    expect(complaint({ sessions })).toMatch(/`cookie`.*\{ keys \}/)
    expect(complaint({ sessions, cookie: key })).not.toContain(key)
    expect(complaint({ sessions, cookie: { keys: key }, rolling: 'yes' })).toMatch(/`rolling`.*true or false/)
    expect(complaint({ sessions, cookie: { keys: key }, secret: key })).toMatch(/`secret`.*no such option/)
    expect(withCookie({ keys: [key, 'short and secret'] })).not.toContain('short and secret')
  })
})

test.each<[string, Partial<CookieOptions>, string]>([
  ['the defaults', {}, 'Path=/; HttpOnly; Secure; SameSite=Lax'],
  [
    'a domain and a path',
    { domain: 'example.com', path: '/app' },
    'Domain=example.com; Path=/app; HttpOnly; Secure; SameSite=Lax',
  ],
  [
    'a cookie for embedded pages',
    { sameSite: 'none', partitioned: true },
    'Path=/; HttpOnly; Secure; Partitioned; SameSite=None',
  ],
  [
    'a strict one',
    { name: '__Host-sid', sameSite: 'strict', maxAgeMs: 60_000 },
    'Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Strict',
  ],
])('%s are what the browser is told', async (_what, cookie, attributes) => {
  const web = createWebSessions({ sessions, cookie: { keys: key, ...cookie } })
  const session = await web.load(null)
  session.data.user = 'ada'
  const [header = ''] = await session.commit()
  expect(header.split('; ').slice(1).join('; ')).toBe(attributes)
  await session.destroy()
  const [cleared = ''] = await session.commit()
  // A browser takes a cookie away only where its name, domain and path are the same.
  const lasting = attributes.replace(/Max-Age=\d+; /, '')
  expect(cleared.replace(/Expires=[^;]*; /, '').replace(/Max-Age=0; /, '')).toBe(`${cookie.name ?? 'sid'}=; ${lasting}`)
})

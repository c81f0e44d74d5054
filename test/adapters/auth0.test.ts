import { describe, expect, test } from 'vitest'
import { type Auth0Session, NonstickAuth0Store, userOfAuth0Session } from '../../src/adapters/auth0.js'
import { world } from '../store/world.js'

/** A session as the client keeps it, and more that an application puts into it. */
interface Session extends Auth0Session {
  readonly user: { readonly sub: string; readonly name?: string }
  readonly tokenSet: { readonly accessToken: string }
  readonly [key: string]: unknown
}

const sessionOf = (sub: string, sid: string, more: object = {}): Session => ({
  user: { sub },
  tokenSet: { accessToken: 'a token' },
  internal: { sid },
  ...more,
})

/** Processes of a cluster: each has a store of its own. */
const cluster = (identify: (data: unknown) => string | undefined = userOfAuth0Session) => {
  const { process, runtime, cache, backend } = world()
  const store = (options: object = {}) => {
    const sessions = process({ identify })
    const made = new NonstickAuth0Store({ sessions, ...options } as never)
    return Object.assign(made, { read: async (id: string): Promise<Session | null> => await made.get(id) })
  }
  return { store, runtime, cache, backend }
}

describe('a session', () => {
  test('that one process stores is had by the others, until it is deleted', async () => {
    const { store } = cluster()
    const [one, other] = [store(), store()]
    expect(await other.get('id')).toBeNull()
    await one.set('id', sessionOf('ada', 's1'))
    expect(await other.read('id')).toEqual(sessionOf('ada', 's1'))
    await other.delete('id')
    expect(await one.get('id')).toBeNull()
    await one.delete('id')
    await one.delete('')
    expect(await one.get('')).toBeNull()
  })

  test('that was ended meanwhile is not brought back by a request that rolls it', async () => {
    const { store } = cluster()
    const [one, other] = [store(), store()]
    await one.set('id', sessionOf('ada', 's1'))
    const held = await one.read('id')
    await other.delete('id')
    expect(await one.update('id', { ...held, cart: ['tea'] } as unknown as Session)).toBe(false)
    expect(await other.update('id', sessionOf('ada', 's1'))).toBe(false)
    expect(await other.update('never there', sessionOf('ada', 's1'))).toBe(false)
    expect(await one.get('id')).toBeNull()
    await expect(one.set('id', sessionOf('ada', 's1'))).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
  })

  test('that two requests change at once has what both changed, also where the client made new objects of it', async () => {
    const { store } = cluster()
    const [one, other] = [store(), store()]
    await one.set('id', sessionOf('ada', 's1', { cart: [], theme: 'light' }))
    const first = (await one.read('id')) as Session
    const second = (await other.read('id')) as Session
    const changed: Session = { ...first, cart: ['tea'], internal: { ...first.internal } }
    expect(await one.update('id', changed)).toBe(true)
    expect(await other.update('id', { ...second, tokenSet: { accessToken: 'a new token' } })).toBe(true)
    expect(await one.read('id')).toMatchObject({
      cart: ['tea'],
      theme: 'light',
      tokenSet: { accessToken: 'a new token' },
    })
  })

  test('that comes from nowhere the store knows of replaces what stands there', async () => {
    const { store } = cluster()
    const one = store()
    await one.set('id', sessionOf('ada', 's1', { cart: ['tea'] }))
    expect(await one.update('id', sessionOf('ada', 's1', { theme: 'dark' }))).toBe(true)
    expect(await one.read('id')).toEqual(sessionOf('ada', 's1', { theme: 'dark' }))
  })

  test('lives for the time that the store was given, counted from its last writing, and a rolling costs no write', async () => {
    const { store, runtime, backend } = cluster()
    const one = store({ idleTtlMs: 60_000 })
    await one.set('id', sessionOf('ada', 's1'))
    const before = backend.calls.length
    for (let roll = 0; roll < 5; roll += 1) {
      runtime.advance(40_000)
      const session = (await one.read('id')) as Session
      expect(await one.update('id', { ...session })).toBe(true)
    }
    expect(backend.calls.slice(before).filter((call) => call === 'insert' || call === 'update')).toEqual([])
    runtime.advance(61_000)
    expect(await one.get('id')).toBeNull()
  })
})

describe('a logout at Auth0', () => {
  const three = async () => {
    const { store } = cluster()
    const one = store()
    await one.set('laptop', sessionOf('ada', 's1'))
    await one.set('phone', sessionOf('ada', 's2'))
    await one.set('other', sessionOf('grace', 's3'))
    const left = async (): Promise<string[]> => {
      const found: string[] = []
      for (const id of ['laptop', 'phone', 'other']) if ((await store().get(id)) !== null) found.push(id)
      return found
    }
    return { one, left }
  }

  test('of a user ends all of his sessions', async () => {
    const { one, left } = await three()
    await one.deleteByLogoutToken({ sub: 'ada', iss: 'https://example.org/' })
    expect(await left()).toEqual(['other'])
  })

  test('of one session ends that one, with its user or without', async () => {
    const { one, left } = await three()
    await one.deleteByLogoutToken({ sub: 'ada', sid: 's2' })
    expect(await left()).toEqual(['laptop', 'other'])
    await one.deleteByLogoutToken({ sid: 's3' })
    expect(await left()).toEqual(['laptop'])
    await one.deleteByLogoutToken({ sub: 'ada', sid: 's9' })
    await one.deleteByLogoutToken({})
    expect(await left()).toEqual(['laptop'])
  })

  test('at one of several domains leaves the sessions of the others', async () => {
    const { store } = cluster()
    const one = store()
    const at = (issuer: string): object => ({ sid: 's', mcd: { domain: 'x', issuer } })
    await one.set('a', { ...sessionOf('ada', 's'), internal: at('https://a.example/') } as Session)
    await one.set('b', { ...sessionOf('ada', 's'), internal: at('https://b.example/') } as Session)
    await one.deleteByLogoutToken({ sub: 'ada', sid: 's', iss: 'https://a.example' })
    expect([await one.get('a'), (await one.read('b'))?.user.sub]).toEqual([null, 'ada'])
    await one.set('c', { ...sessionOf('ada', 's'), internal: at('https://a.example/') } as Session)
    await one.deleteByLogoutToken({ sub: 'ada', iss: 'https://b.example/' })
    expect([await one.get('b'), (await one.read('c'))?.user.sub]).toEqual([null, 'ada'])
  })
})

describe('what fails', () => {
  test('is an error, and never a session that is not there', async () => {
    const { store, cache, backend } = cluster()
    const one = store()
    await one.set('id', sessionOf('ada', 's1'))
    cache.unreachable = true
    backend.unreachable = true
    for (const call of [() => one.get('id'), () => one.update('id', sessionOf('ada', 's1')), () => one.delete('id')])
      await expect(call()).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
  })

  test('is named: a store that does not know whose sessions they are, and bad options', async () => {
    const { store } = cluster(() => undefined)
    await expect(store().set('id', sessionOf('ada', 's1'))).rejects.toMatchObject({ code: 'E_CONFIG' })
    expect(() => new NonstickAuth0Store({ sessions: {} } as never)).toThrow('`sessions` to be a session store')
    expect(() => new NonstickAuth0Store({ identify: () => 'ada' } as never)).toThrow('`identify` to be left out')
    expect(() => new NonstickAuth0Store({ idleTtlMs: 1 })).toThrow('`idleTtlMs`')
  })

  test('closes with the store that was made here', async () => {
    const own = new NonstickAuth0Store()
    await own.set('id', sessionOf('ada', 's1'))
    expect(await own.close()).toMatchObject({ left: 0 })
    await expect(own.get('id')).rejects.toMatchObject({ code: 'E_CLOSED' })
    expect(await cluster().store().close()).toBeUndefined()
  })
})

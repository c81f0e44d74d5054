import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import flash from 'connect-flash'
import { csrfSync } from 'csrf-sync'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import nextSession from 'next-session'
import { promisifyStore } from 'next-session/lib/compat'
import passport from 'passport'
import { Strategy } from 'passport-local'
import { Server } from 'socket.io'
import { io, type Socket } from 'socket.io-client'
import { expect, test } from 'vitest'
import type { NonstickStore } from '../../src/adapters/express.js'
import { Browser, bag, idOf, openCluster } from './express-cluster.js'

const json = async (browser: Browser, url: string): Promise<unknown> => JSON.parse((await browser.get(url)).body)

const post = async (browser: Browser, url: string, body: Record<string, string>): Promise<number> => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { cookie: browser.cookie ?? '' },
    body: new URLSearchParams(body),
    redirect: 'manual',
  })
  const cookie = response.headers.getSetCookie().find((each) => each.startsWith('connect.sid='))
  if (cookie !== undefined) browser.cookie = cookie.split(';')[0]
  await response.text()
  return response.status
}

test('connect-flash shows a message once, on the page after the redirect, in another process', async () => {
  await using cluster = openCluster()
  const routes = (app: Express): void => {
    app.use(flash())
    app.get('/say/:what', (req, res) => {
      req.flash('info', req.params.what)
      req.session.save(() => res.redirect('/show'))
    })
    app.get('/show', (req, res) => {
      res.json(req.flash('info'))
    })
  }
  const [one, other] = [await cluster.process(routes), await cluster.process(routes)]
  const browser = new Browser()
  await browser.get(`${one.url}/say/saved`)
  await browser.get(`${one.url}/say/sent`)
  expect(await json(browser, `${other.url}/show`)).toEqual(['saved', 'sent'])
  for (const { url } of [one, other]) expect(await json(browser, `${url}/show`)).toEqual([])
})

test('csrf-sync knows in each process the token that another gave, and refuses any other', async () => {
  await using cluster = openCluster()
  const { csrfSynchronisedProtection } = csrfSync({
    getTokenFromRequest: (req) => (req.body as { readonly token?: string }).token,
  })
  const routes = (app: Express): void => {
    app.use(express.urlencoded({ extended: false }), csrfSynchronisedProtection)
    app.get('/form', (req, res) => {
      res.json(req.csrfToken?.() ?? null)
    })
    app.post('/order', (_req, res) => {
      res.sendStatus(204)
    })
    app.use((_error: unknown, _req: Request, res: Response, _next: NextFunction) => {
      res.sendStatus(403)
    })
  }
  const [one, other] = [await cluster.process(routes), await cluster.process(routes)]
  const browser = new Browser()
  const token = String(await json(browser, `${one.url}/form`))
  expect(await post(browser, `${other.url}/order`, { token })).toBe(204)
  expect(await post(browser, `${other.url}/order`, { token: `${token.slice(0, -1)}!` })).toBe(403)
  expect(await post(new Browser(), `${other.url}/order`, { token })).toBe(403)
})

test('passport logs in with a new id, is known to every process, and logs out in all of them', async () => {
  await using cluster = openCluster()
  const routes = (app: Express): void => {
    const authenticator = new passport.Passport()
    authenticator.use(
      new Strategy((username, password, done) => done(null, password === 'right' ? { name: username } : false)),
    )
    authenticator.serializeUser((user, done) => done(null, (user as { readonly name: string }).name))
    authenticator.deserializeUser((name: string, done) => done(null, { name }))
    app.use(express.urlencoded({ extended: false }), authenticator.session())
    app.get('/set/:key/:value', (req, res) => {
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.post('/login', authenticator.authenticate('local'), (_req, res) => {
      res.redirect('/')
    })
    app.post('/login-and-keep', authenticator.authenticate('local', { keepSessionInfo: true }), (_req, res) => {
      res.redirect('/')
    })
    app.post('/logout', (req, res, next) => {
      req.logout((error: unknown) => (error ? next(error) : res.redirect('/')))
    })
    app.get('/', (req, res) => {
      res.json({ user: req.user ?? null, cart: bag(req)['cart'] ?? null })
    })
  }
  const [one, other] = [await cluster.process(routes), await cluster.process(routes)]
  const browser = new Browser()
  await browser.get(`${one.url}/set/cart/tea`)
  const before = browser.tab()
  expect(await post(browser, `${one.url}/login`, { username: 'ada', password: 'wrong' })).toBe(401)
  expect(await post(browser, `${one.url}/login-and-keep`, { username: 'ada', password: 'right' })).toBe(302)
  expect(await json(browser, other.url)).toEqual({ user: { name: 'ada' }, cart: 'tea' })
  expect(idOf(browser)).not.toBe(idOf(before))
  expect(await json(before, other.url)).toEqual({ user: null, cart: null })
  expect(await post(browser, `${other.url}/login`, { username: 'bob', password: 'right' })).toBe(302)
  expect(await json(browser, one.url), 'nothing of the old session is kept').toEqual({
    user: { name: 'bob' },
    cart: null,
  })
  const inside = browser.tab()
  expect(await post(browser, `${other.url}/logout`, {})).toBe(302)
  cluster.loseCache()
  for (const { url } of [one, other]) expect(await json(inside, url)).toEqual({ user: null, cart: null })
})

test('socket.io shares the session of the pages: it reads it, changes it, and sees a logout after a reload', async () => {
  await using cluster = openCluster()
  const store: NonstickStore = cluster.store()
  const middleware = session({ store, secret: 'of a test', resave: false, saveUninitialized: false })
  const app = express()
  app.use(middleware)
  app.get('/login/:user', (req, res) => {
    bag(req)['user'] = req.params.user
    res.send('in')
  })
  app.get('/logout', (req, res, next) => {
    req.session.destroy((error: unknown) => (error ? next(error) : res.send('bye')))
  })
  app.get('/', (req, res) => {
    const { cookie: _, ...data } = bag(req)
    res.json(data)
  })
  const server = createServer(app)
  const sockets = new Server(server)
  sockets.engine.use(middleware)
  sockets.on('connection', (socket) => {
    const req = socket.request as Request
    socket.on('who', (answer) => answer(bag(req)['user'] ?? null))
    socket.on('count', (answer) => {
      req.session.reload((missing: unknown) => {
        if (missing) return answer('logged out')
        bag(req)['count'] = Number(bag(req)['count'] ?? 0) + 1
        req.session.save((error: unknown) => answer(error ? 'failed' : bag(req)['count']))
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const browser = new Browser()
  await browser.get(`${url}/login/ada`)
  const socket: Socket = io(url, { extraHeaders: { cookie: browser.cookie ?? '' }, transports: ['websocket'] })
  cluster.closeAfterwards(async () => {
    socket.close()
    await sockets.close()
  })
  expect(await socket.emitWithAck('who')).toBe('ada')
  for (const count of [1, 2, 3]) expect(await socket.emitWithAck('count')).toBe(count)
  expect(await json(browser, url)).toEqual({ user: 'ada', count: 3 })
  await browser.get(`${url}/logout`)
  expect(await socket.emitWithAck('count')).toBe('logged out')
})

test('next-session keeps its sessions in the store: each process reads and changes them, and a logout ends them', async () => {
  await using cluster = openCluster()
  const open = async (): Promise<string> => {
    const store = cluster.store()
    const getSession = nextSession({
      name: 'connect.sid',
      store: promisifyStore(store as never),
      cookie: { maxAge: 3_600 },
    })
    const server = createServer(async (req, res) => {
      const session = await getSession(req, res)
      const [, call, key = '', value] = (req.url ?? '').split('/')
      if (call === 'set') session[key] = value
      if (call === 'logout') await session.destroy()
      const { cookie: _, ...data } = session
      res.end(JSON.stringify(data))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cluster.closeAfterwards(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const [one, other] = [await open(), await open()]
  const browser = new Browser()
  await browser.get(`${one}/set/user/ada`)
  await browser.get(`${other}/set/cart/tea`)
  for (const url of [one, other]) expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada', cart: 'tea' })
  const id = (browser.cookie ?? '').slice('connect.sid='.length)
  const { idleTtlMs = 0 } = (await cluster.store().sessions.load(id)) ?? {}
  expect(Math.round(idleTtlMs / 1_000), 'its maxAge is in seconds').toBeCloseTo(3_600, -2)
  const inside = browser.tab()
  await browser.get(`${other}/logout`)
  expect(await json(inside, `${one}/show`)).toEqual({})
})

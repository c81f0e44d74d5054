/** Sessions in NestJS on Express: log in, fill a cart, log out; the same in each of many processes. */
import 'reflect-metadata'
import { Controller, Get, HttpCode, Module, Param, Post, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import type { Request } from 'express'
import session from 'express-session'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { type ExpressData, NonstickStore } from 'nonstick/express'

declare module 'express-session' {
  interface SessionData {
    userId?: string
    cart?: string[]
  }
}

const IDLE_MS = 8 * 3_600_000

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

@Controller()
class ShopController {
  @Get()
  show(@Req() { session }: Request): object {
    return { user: session.userId, cart: session.cart }
  }

  @Post('login/:user')
  @HttpCode(200)
  async logIn(@Req() req: Request, @Param('user') user: string): Promise<object> {
    // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
    await done((callback) => req.session.regenerate(callback))
    req.session.userId = user
    await done((callback) => req.session.save(callback))
    return { user }
  }

  @Post('cart/:item')
  @HttpCode(200)
  add(@Req() { session }: Request, @Param('item') item: string): readonly string[] {
    session.cart = [...(session.cart ?? []), item]
    return session.cart
  }

  @Post('logout')
  @HttpCode(200)
  async logOut(@Req() req: Request): Promise<object> {
    await done((callback) => req.session.destroy(callback))
    return {}
  }
}

/** express-session calls back; a handler of Nest waits for a promise. */
const done = (call: (callback: (error?: unknown) => void) => unknown): Promise<void> =>
  new Promise((resolve, reject) => {
    call((error) => (error ? reject(error) : resolve()))
  })

@Module({ controllers: [ShopController] })
class AppModule {}

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<ExpressData>({ identify: (data) => data.userId })

const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ['error', 'warn'] })
app.use(
  session({
    store: new NonstickStore({ sessions }),
    secret,
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { maxAge: IDLE_MS, httpOnly: true, sameSite: 'lax' },
  }),
)
const server = await app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1')
console.log('listening on', server.address())

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })

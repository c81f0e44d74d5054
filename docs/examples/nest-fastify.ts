/** Sessions in NestJS on Fastify: log in, fill a cart, log out; the same in each of many processes. */
import 'reflect-metadata'
import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { Controller, Get, HttpCode, Module, Param, Post, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import type { FastifyRequest, Session } from 'fastify'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { NonstickStore } from 'nonstick/fastify'

declare module 'fastify' {
  interface Session {
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
  show(@Req() { session }: FastifyRequest): object {
    return { user: session.userId, cart: session.cart }
  }

  @Post('login/:user')
  @HttpCode(200)
  async logIn(@Req() request: FastifyRequest, @Param('user') user: string): Promise<object> {
    // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
    await request.session.regenerate()
    request.session.userId = user
    return { user }
  }

  @Post('cart/:item')
  @HttpCode(200)
  add(@Req() { session }: FastifyRequest, @Param('item') item: string): readonly string[] {
    session.cart = [...(session.cart ?? []), item]
    return session.cart
  }

  @Post('logout')
  @HttpCode(200)
  async logOut(@Req() request: FastifyRequest): Promise<object> {
    await request.session.destroy()
    return {}
  }
}

@Module({ controllers: [ShopController] })
class AppModule {}

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<Session>({ identify: (data) => data.userId })

const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), {
  logger: ['error', 'warn'],
})
await app.register(cookie)
await app.register(fastifySession, {
  store: new NonstickStore<Session>({ sessions }),
  secret,
  saveUninitialized: false,
  cookie: { maxAge: IDLE_MS, sameSite: 'lax', secure: process.env['NODE_ENV'] === 'production' },
})
await app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1')
const server = app.getHttpServer()
console.log('listening on', server.address())

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })

import 'reflect-metadata'
import {
  type ArgumentsHost,
  Body,
  Catch,
  Controller,
  type ExceptionFilter,
  HttpCode,
  Module,
  Param,
  Post,
  Req,
  type Type,
} from '@nestjs/common'
import type { RequestSession, Routes } from '../framework.js'

/** The module of an application with these routes; the request is that of the platform below NestJS. */
export const moduleWith = <Request>(routes: Routes, sessionOf: (request: Request) => RequestSession): Type => {
  @Controller()
  class SuiteController {
    @Post(':name')
    @HttpCode(200)
    async answer(
      @Param('name') name: string,
      @Req() request: Request,
      @Body() body: Record<string, unknown>,
    ): Promise<unknown> {
      return await routes[name]?.(sessionOf(request), body)
    }
  }

  @Module({ controllers: [SuiteController] })
  class SuiteModule {}

  return SuiteModule
}

/** The reply of express and of fastify, as far as both are the same. */
interface Reply {
  readonly headersSent?: boolean
  status(code: number): { send(body: object): unknown }
}

/** Answers what a route throws as the suite has it. */
@Catch()
export class CodeFilter implements ExceptionFilter {
  catch(error: { readonly code?: string }, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<Reply>()
    if (reply.headersSent !== true) reply.status(500).send({ code: error.code ?? String(error) })
  }
}

import type { APIRoute } from 'astro'

export const POST: APIRoute = async ({ locals: { session } }) => {
  await session.destroy()
  return Response.json({})
}

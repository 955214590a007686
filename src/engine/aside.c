/* One thread and a queue under a lock (see aside.h). */
#include "engine/aside.h"

#include <pthread.h>
#include <signal.h>

#include "base/mem.h"

struct Aside {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wanted, done;
    AsideJob *first, **end, *running;
    bool closing;
};

static void *aside_main(void *arg)
{
    Aside *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->closing) {
        AsideJob *job = a->first;
        if (!job) {
            pthread_cond_wait(&a->wanted, &a->lock);
            continue;
        }
        a->first = job->next;
        if (!a->first) a->end = &a->first;
        job->queued = false;
        a->running = job;
        pthread_mutex_unlock(&a->lock);
        job->run(job);
        pthread_mutex_lock(&a->lock);
        a->running = NULL;
        pthread_cond_broadcast(&a->done);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

Aside *aside_open(void)
{
    Aside *a = mem_zalloc(1, sizeof *a);
    sigset_t all, old;
    if (!a) return NULL;
    a->end = &a->first;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wanted, NULL);
    pthread_cond_init(&a->done, NULL);
    sigfillset(&all); /* Ctrl-C reaches the program, not this thread */
    int failed = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (!failed) {
        failed = pthread_create(&a->thread, NULL, aside_main, a);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (!failed) return a;
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->wanted);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
    return NULL;
}

void aside_close(Aside **pointer)
{
    Aside *a = *pointer;
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_cond_signal(&a->wanted);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->wanted);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
    *pointer = NULL;
}

void aside_want(Aside *a, AsideJob *job)
{
    pthread_mutex_lock(&a->lock);
    if (!job->queued) {
        job->queued = true;
        job->next = NULL;
        *a->end = job;
        a->end = &job->next;
        pthread_cond_signal(&a->wanted);
    }
    pthread_mutex_unlock(&a->lock);
}

void aside_drop(Aside *a, AsideJob *job)
{
    pthread_mutex_lock(&a->lock);
    for (AsideJob **at = &a->first; *at; at = &(*at)->next) {
        if (*at != job) continue;
        *at = job->next;
        if (!*at) a->end = at;
        break;
    }
    job->queued = false;
    while (a->running == job) pthread_cond_wait(&a->done, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

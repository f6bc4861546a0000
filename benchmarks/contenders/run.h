/* What the contenders in C share; the ones in Python have common.py, which also tells the protocol.
 *
 * A program does one run, told by its arguments, or one for each line of standard input. */
#ifndef RUN_H
#define RUN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64 /* messages of one system call, and of one turn of a socket */

enum { FIRST = 1, OTHER = 2, GO = 3, DONE = 4 }; /* the messages of one byte around the work */

struct run {
    int server, associations, streams, many, batch, bundle, burst, port, udp_port, peer_udp_port, send_buffer, receive_buffer;
    long count;
    size_t size;
    char work[16], address[64];
};

static void must(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static int is(const char *one, const char *other)
{
    return strcmp(one, other) == 0;
}

static void read_word(struct run *run, char *word)
{
    char *value = strchr(word, '=');
    check(value != NULL, "words are key=value");
    *value++ = 0;
    if (is(word, "role"))
        run->server = is(value, "server");
    else if (is(word, "work"))
        snprintf(run->work, sizeof run->work, "%s", value);
    else if (is(word, "address"))
        snprintf(run->address, sizeof run->address, "%s", value);
    else if (is(word, "mode"))
        run->many = is(value, "many");
    else if (is(word, "form")) {
        run->bundle = is(value, "bundle");
        run->batch = run->bundle || is(value, "batch");
    }
    else if (is(word, "burst"))
        run->burst = atoi(value);
    else if (is(word, "size"))
        run->size = (size_t)atol(value);
    else if (is(word, "count"))
        run->count = atol(value);
    else if (is(word, "streams"))
        run->streams = atoi(value);
    else if (is(word, "associations"))
        run->associations = atoi(value);
    else if (is(word, "port"))
        run->port = atoi(value);
    else if (is(word, "udp_port"))
        run->udp_port = atoi(value);
    else if (is(word, "peer_udp_port"))
        run->peer_udp_port = atoi(value);
    else if (is(word, "send_buffer"))
        run->send_buffer = atoi(value);
    else if (is(word, "receive_buffer"))
        run->receive_buffer = atoi(value);
    else
        check(is(word, "memory") || is(word, "loop"), word);
}

static const struct run defaults = {
    .work = "flood", .address = "127.0.0.1", .port = 5000, .size = 64, .count = 10000, .streams = 1,
    .associations = 1, .send_buffer = 1 << 20, .receive_buffer = 4 << 20,
    .udp_port = 9899, .peer_udp_port = 9900,
};

/* The measured phase: wall-clock and CPU time of this process, all of its threads, in seconds. */
static double began, began_cpu;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
           + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void start(void)
{
    began = now();
    began_cpu = cpu();
}

static int by_length(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

/* Print the results of the phase that ends now; `trips` are `messages` latencies in seconds, or NULL. */
static void stop(long messages, double *trips)
{
    double used = cpu() - began_cpu, seconds = now() - began;
    printf("{\"messages\": %ld, \"seconds\": %.6f, \"cpu\": %.6f", messages, seconds, used);
    if (trips != NULL) {
        qsort(trips, (size_t)messages, sizeof *trips, by_length);
        printf(", \"p50\": %.7f, \"p99\": %.7f", trips[messages / 2], trips[messages * 99 / 100]);
    }
    puts("}");
    fflush(stdout);
}

/* Resident memory of this process, in bytes. */
static inline long resident(void)
{
    long total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file != NULL && fscanf(file, "%ld %ld", &total, &pages) == 2, "statm");
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void wait_for_a_line(void)
{
    char line[256];
    if (fgets(line, sizeof line, stdin) == NULL)
        return;
}

static void do_runs(int count, char **words, void (*perform)(struct run *))
{
    struct run run = defaults;
    char line[1024];

    if (count > 1) {
        for (int number = 1; number < count; number++)
            read_word(&run, words[number]);
        perform(&run);
        return;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        run = defaults;
        for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n"))
            read_word(&run, word);
        perform(&run);
        puts("over");
        fflush(stdout);
    }
}

#endif
